# A Debian on a disk: a GPT partition with ext4, made of Debian's arm64 packages alone. Sourced by
# build.sh.
#
# No program of another architecture runs on this machine and nothing needs root: packages are
# downloaded and unpacked, and a virtual machine configures them once. build/debian/disk.img is kept
# as it is made; who boots it gets a copy or an overlay.

DEBIAN=$BUILD/debian
# What is on the disk beside what Debian calls essential or required.
DEBIAN_PACKAGES=(systemd-sysv udev dbus login kmod iproute2)
# Bytes of the file system and of the room before and behind it, in MiB.
DEBIAN_ROOT_MIB=1200
DEBIAN_EDGE_MIB=1
# Modules that the initial RAM disk loads, in this order; their names in the kernel package.
DEBIAN_MODULES=(
    lib/crc16 fs/mbcache fs/jbd2/jbd2 lib/libcrc32c crypto/crc32c_generic fs/ext4/ext4
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

# Downloads the packages and what they depend on.
fetch_debian_disk() {
    update_debian_apt || return
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
    for module in "${DEBIAN_MODULES[@]}"; do printf '%s\n' "${module##*/}"; done >"$DEBIAN/modules/order"
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

# The tree of unpacked packages as a file system; under fakeroot, so that owners are right.
unpack_debian_disk() {
    local tree=$DEBIAN/root package
    rm -rf "$tree" && mkdir -p "$tree" || return
    for package in "$DEBIAN"/apt/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$tree" || return
    done
    mkdir -p "$tree/var/cache/first" "$tree/var/lib/dpkg/info" "$tree/var/lib/dpkg/updates" &&
        ln "$DEBIAN"/apt/cache/archives/*.deb "$tree/var/cache/first/" && : >"$tree/var/lib/dpkg/status" &&
        install -m 755 "$ROOT/guests/debian/configure" "$tree/var/cache/first/configure" &&
        truncate -s 0 "$DEBIAN/root.ext4.new" && truncate -s "${DEBIAN_ROOT_MIB}M" "$DEBIAN/root.ext4.new" &&
        mke2fs -q -t ext4 -L debian -E root_owner=0:0 -d "$tree" "$DEBIAN/root.ext4.new" && rm -rf "$tree"
}

# Boots the tree once in a machine of its own, where the packages are configured.
configure_debian_disk() {
    local log=$LOGS/debian-configure-serial.log
    pack_debian_initrd "$ROOT/guests/debian/init" "$DEBIAN/initrd.cpio" || return
    timeout -s KILL 5400 qemu-system-aarch64 -machine virt,gic-version=2 -cpu cortex-a53 -m 1024 -smp 2 -nic none -display none \
        -serial "file:$log" -no-reboot -kernel "$GUEST/debian/Image" -initrd "$DEBIAN/initrd.cpio" \
        -append 'console=ttyAMA0 root=/dev/vda first=/var/cache/first/configure quiet' \
        -drive "file=$DEBIAN/root.ext4.new,format=raw,if=none,id=d,cache=unsafe" -device virtio-blk-device,drive=d || return
    grep -aq 'debian: configured' "$log" || {
        tail -n 20 "$log"
        return 1
    }
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
    if [[ ! -e $DEBIAN/modules/order ]]; then
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

# Brings build/debian/disk.img up to date: made once, and kept as it was made.
ensure_debian_disk() {
    [[ ! -e $DEBIAN/disk.img ]] || return 0
    ensure_debian_initrd
    need sgdisk mke2fs fakeroot qemu-system-aarch64
    say "Making a Debian on a disk, once: about 120 MB from Debian, 1.5 GB in $(shown "$DEBIAN"), some minutes."
    step fetch-debian-disk fetch_debian_disk || fail "cannot fetch Debian's packages for the disk"
    export DEBIAN ROOT DEBIAN_ROOT_MIB
    # fakeroot is a script of sh, which does not hand functions on.
    step unpack-debian-disk fakeroot bash -c "$(declare -f unpack_debian_disk); unpack_debian_disk"
    step configure-debian-disk configure_debian_disk
    step partition-debian-disk partition_debian_disk
    rm -rf "$DEBIAN/apt"
}
