# A Debian on a disk: a GPT partition with ext4, made of Debian's arm64 packages alone. Sourced by
# build.sh.
#
# No program of another architecture runs on this machine and nothing needs root: packages are
# downloaded and unpacked, with dpkg's records of them, and a virtual machine configures them once.
# build/debian/disk.img is kept as it is made; who boots it gets a copy or an overlay.

DEBIAN=$BUILD/debian
# What is on the disk beside what Debian calls essential or required.
# usr-is-merged stands for usrmerge, which wants all of Perl for what is done here by three links.
DEBIAN_PACKAGES=(systemd-sysv udev dbus login kmod iproute2 usr-is-merged xenstore-utils)
# Bytes of the file system and of the room before and behind it, in MiB.
DEBIAN_ROOT_MIB=1200
DEBIAN_EDGE_MIB=1
# Modules that the initial RAM disk loads, in this order; their names in the kernel package. ext4
# finds crc32c by its name.
DEBIAN_MODULES=(
    lib/crc16 fs/mbcache fs/jbd2/jbd2 crypto/crc32c_generic fs/ext4/ext4
    drivers/block/xen-blkfront drivers/virtio/virtio_mmio drivers/block/virtio_blk
)

debian_apt() {
    GUEST=$DEBIAN guest_apt "$@"
}

update_debian_apt() {
    mkdir -p "$DEBIAN/apt/lists/partial" "$DEBIAN/apt/cache/archives/partial" && : >"$DEBIAN/apt/status" &&
        debian_apt apt-get -o APT::Update::Error-Mode=any update
}

# Downloads the package that the guests' kernel is of.
fetch_kernel_package() {
    local kernel
    update_debian_apt || return
    kernel=$(sed -nE 's/^(linux-image-[^_]*)_.*/\1/p' "$GUEST/debian/packages") && [[ $kernel ]] || return
    mkdir -p "$DEBIAN/kernel" && (cd "$DEBIAN/kernel" && debian_apt apt-get download "$kernel")
}

# Downloads the packages and what they depend on, and nothing else is there then.
fetch_debian_disk() {
    update_debian_apt && rm -f "$DEBIAN"/apt/cache/archives/*.deb || return
    debian_apt apt-get -y --download-only --no-install-recommends -o Debug::NoLocking=1 \
        install '?essential' '?priority(required)' "${DEBIAN_PACKAGES[@]}"
}

# Takes the modules out of the kernel package.
unpack_modules() {
    local module patterns=()
    for module in "${DEBIAN_MODULES[@]}"; do patterns+=("*/kernel/$module.ko"); done
    rm -rf "$DEBIAN/modules" && mkdir -p "$DEBIAN/modules/all" &&
        dpkg-deb --fsys-tarfile "$DEBIAN"/kernel/linux-image-*.deb | tar -x -C "$DEBIAN/modules/all" --wildcards "${patterns[@]}" || return
    for module in "${DEBIAN_MODULES[@]}"; do
        find "$DEBIAN/modules/all" -path "*/kernel/$module.ko" -exec cp {} "$DEBIAN/modules/" \; || return
    done
    rm -rf "$DEBIAN/modules/all" "$DEBIAN/kernel"
    modules_in_order >"$DEBIAN/modules/order"
}

# The names of the modules' files, as they are loaded.
modules_in_order() {
    printf '%s\n' "${DEBIAN_MODULES[@]##*/}"
}

# Packs an initial RAM disk with busybox, the modules in their order, init program $1 and our
# programs from $3 on, as $2.
pack_debian_initrd() {
    local tree=$DEBIAN/tree module program
    rm -rf "$tree" && mkdir -p "$tree"/{bin,dev,proc,sys,new,modules} &&
        cp "$GUEST/debian/busybox" "$tree/bin/" && cp "$1" "$tree/init" && chmod 755 "$tree/init" &&
        cp "$DEBIAN"/modules/* "$tree/modules/" || return
    for module in sh mount insmod switch_root sleep chroot poweroff umount mknod dd; do ln -s busybox "$tree/bin/$module" || return; done
    for program in "${@:3}"; do cp "$GUEST_TARGET/$RUST_TARGET/release/$program" "$tree/bin/" || return; done
    find "$tree" -exec touch -h -d @0 {} + || return
    (cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$2.new" &&
        mv "$2.new" "$2" && rm -rf "$tree"
}

# Unpacks package $1 into the tree $2 and enters it into dpkg's records there as unpacked: its
# control files, the list of its files, and its paragraph with the checksums of its configuration
# files (dpkg's deb(5), and lib/dpkg/parse.c for the status file).
unpack_debian_package() {
    local package=$1 tree=$2 info=$2/var/lib/dpkg/info control=$DEBIAN/control name fields file sum
    dpkg-deb --fsys-tarfile "$package" >"$DEBIAN/files.tar" &&
        tar -x --keep-directory-symlink -C "$tree" -f "$DEBIAN/files.tar" &&
        rm -rf "$control" && dpkg-deb --control "$package" "$control" &&
        name=$(dpkg-deb --field "$package" Package) && fields=$(dpkg-deb --field "$package") || return
    if [[ $(dpkg-deb --field "$package" Multi-Arch) == same ]]; then
        name=$name:$(dpkg-deb --field "$package" Architecture)
    fi
    tar -t -f "$DEBIAN/files.tar" | sed -E 's,^\.,,; s,/$,,; s,^$,/.,' >"$info/$name.list" || return
    for file in "$control"/*; do
        [[ ${file##*/} == control ]] || cp "$file" "$info/$name.${file##*/}" || return
    done
    {
        printf '%s\n' "$fields" 'Status: install ok unpacked'
        if [[ -e $control/conffiles ]]; then
            echo Conffiles:
            while read -r file; do
                sum=$(md5sum <"$tree$file") && printf ' %s %s\n' "$file" "${sum%% *}" || return
            done < <(grep '^/' "$control/conffiles")
        fi
        echo
    } >>"$tree/var/lib/dpkg/status"
}

# The tree of unpacked packages as a file system; under fakeroot, so that owners are right. It gets
# its journal when it is configured, which nobody interrupts.
unpack_debian_disk() {
    local tree=$DEBIAN/root directory package
    rm -rf "$tree" && mkdir -p "$tree"/var/lib/dpkg/{info,updates,triggers} "$tree/var/cache/first" &&
        : >"$tree/var/lib/dpkg/status" && echo 1 >"$tree/var/lib/dpkg/info/format" || return
    for directory in bin sbin lib; do
        mkdir -p "$tree/usr/$directory" && ln -s "usr/$directory" "$tree/$directory" || return
    done
    for package in "$DEBIAN"/apt/cache/archives/*.deb; do
        unpack_debian_package "$package" "$tree" || return
    done
    install -m 755 "$ROOT/guests/debian/configure" "$tree/var/cache/first/configure" && rm -f "$DEBIAN/root.ext4.new" &&
        truncate -s "${DEBIAN_ROOT_MIB}M" "$DEBIAN/root.ext4.new" &&
        mke2fs -q -t ext4 -O ^has_journal -L debian -E root_owner=0:0 -d "$tree" "$DEBIAN/root.ext4.new" &&
        rm -rf "$tree" "$DEBIAN/control" "$DEBIAN/files.tar"
}

# Seconds without a word after which the machine that configures has stopped. No package takes more
# than some seconds, on a host with nothing else to do.
DEBIAN_SILENCE=600

# Boots the tree once in a machine of its own, where the packages are configured: as long as it goes
# on, however slow this host is.
configure_debian_disk() {
    local log=$LOGS/debian-configure-serial.log size=-1 since=$SECONDS machine now
    : >"$log"
    qemu-system-aarch64 -machine virt,gic-version=2 -cpu cortex-a53 -m 1024 -nic none -display none \
        -serial "file:$log" -no-reboot -kernel "$GUEST/debian/Image" -initrd "$DEBIAN/initrd.cpio" \
        -append 'console=ttyAMA0 root=/dev/vda first=/var/cache/first/configure quiet' \
        -drive "file=$DEBIAN/root.ext4.new,format=raw,if=none,id=d,cache=unsafe" -device virtio-blk-device,drive=d &
    machine=$!
    while kill -0 "$machine" 2>/dev/null; do
        sleep 0.2
        now=$(stat -c %s "$log")
        if ((now != size)); then
            size=$now since=$SECONDS
            tail -n 1 "$log"
        fi
        if ((SECONDS - since >= DEBIAN_SILENCE)); then
            kill -KILL "$machine"
            echo "The machine that configures the packages has said nothing for $DEBIAN_SILENCE s."
        fi
    done
    wait "$machine" || true
    grep -aq 'debian: configured' "$log" || {
        echo "the packages are not configured; the machine's last words, from $log:"
        tail -n 20 "$log"
        return 1
    }
    tune2fs -j "$DEBIAN/root.ext4.new" || return
    e2fsck -fp "$DEBIAN/root.ext4.new" || (($? == 1))
}

# The disk: a GPT with one partition, "debian".
partition_debian_disk() {
    local disk=$DEBIAN/disk.img.new
    rm -f "$disk" && truncate -s "$((DEBIAN_ROOT_MIB + 2 * DEBIAN_EDGE_MIB))M" "$disk" &&
        sgdisk --disk-guid 5a617a65-6e00-4000-8000-000000000001 \
            --new "1:${DEBIAN_EDGE_MIB}M:+${DEBIAN_ROOT_MIB}M" --change-name 1:debian --typecode 1:8305 \
            --partition-guid 1:5a617a65-6e00-4000-8000-000000000002 "$disk" &&
        dd if="$DEBIAN/root.ext4.new" of="$disk" bs=1M seek="$DEBIAN_EDGE_MIB" conv=notrunc,sparse status=none &&
        rm "$DEBIAN/root.ext4.new" && mv "$disk" "$DEBIAN/disk.img"
}

# Brings the initial RAM disk up to date: modules of the guests' kernel, from its own package.
ensure_debian_initrd() {
    ensure_debian
    need cpio
    if [[ ! -e $DEBIAN/modules/order || $(<"$DEBIAN/modules/order") != "$(modules_in_order)" ]]; then
        step fetch-debian-modules fetch_kernel_package || fail "cannot fetch Debian's kernel package"
        step debian-modules unpack_modules
    fi
    [[ -e $DEBIAN/initrd.cpio && $DEBIAN/initrd.cpio -nt $ROOT/guests/debian/init && $DEBIAN/initrd.cpio -nt $DEBIAN/modules/order ]] ||
        step debian-initrd pack_debian_initrd "$ROOT/guests/debian/init" "$DEBIAN/initrd.cpio"
}

# Brings the initial RAM disk of guests that measure or test their disk up to date, as
# disk-initrd.cpio among the guests' files.
ensure_disk_initrd() {
    local stamp programs=$GUEST_TARGET/$RUST_TARGET/release
    ensure_debian_initrd
    ensure_guest_program counter
    ensure_guest_program disk
    stamp=$(stamp_of "$programs"/zazen-{counter,disk} "$ROOT/guests/disk/init" "$DEBIAN/modules/order" "$ROOT/tools/sh/debian.sh")
    fresh "$GUEST_FILES/disk-initrd.cpio" "$stamp" && return
    step disk-initrd pack_debian_initrd "$ROOT/guests/disk/init" "$GUEST_FILES/disk-initrd.cpio" zazen-counter zazen-disk
    printf '%s' "$stamp" >"$GUEST_FILES/disk-initrd.cpio.stamp"
}

# Brings build/debian/disk.img up to date: made once of the packages named here, and kept as it was
# made.
ensure_debian_disk() {
    local stamp
    stamp=$(stamp_of "$ROOT/guests/debian/configure" -- "${DEBIAN_PACKAGES[@]}" "$DEBIAN_ROOT_MIB" "$DEBIAN_EDGE_MIB")
    ! fresh "$DEBIAN/disk.img" "$stamp" || return 0
    ensure_debian_initrd
    need sgdisk mke2fs tune2fs e2fsck fakeroot qemu-system-aarch64
    say "Making a Debian on a disk, once: about 45 MB from Debian, 0.5 GB in $(shown "$DEBIAN"), some minutes."
    step fetch-debian-disk fetch_debian_disk || fail "cannot fetch Debian's packages for the disk"
    export DEBIAN ROOT DEBIAN_ROOT_MIB
    # fakeroot is a script of sh, which does not hand functions on.
    step unpack-debian-disk fakeroot bash -c "$(declare -f unpack_debian_package unpack_debian_disk); unpack_debian_disk"
    step configure-debian-disk configure_debian_disk
    step partition-debian-disk partition_debian_disk
    printf '%s' "$stamp" >"$DEBIAN/disk.img.stamp"
    rm -rf "$DEBIAN/apt"
}
