# The Linux guest: Debian's arm64 kernel and static busybox, and our test guest. Sourced by
# build.sh.
#
# build/guest/files holds them under the names that domains files use: Image, initrd.cpio,
# probe.img.

GUEST=$BUILD/guest
GUEST_FILES=$GUEST/files
GUEST_TARGET=$BUILD/guest-target

# apt with lists, state and cache of its own, so that neither root nor a foreign architecture on
# this machine is needed. Sources and keys are the machine's.
guest_apt() {
    local tool=$1
    shift
    "$tool" -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Acquire::Languages=none \
        -o Dir::State="$GUEST/apt" -o Dir::State::lists="$GUEST/apt/lists" -o Dir::State::status="$GUEST/apt/status" \
        -o Dir::Cache="$GUEST/apt/cache" -o APT::Sandbox::User= "$@"
}

# Downloads the packages whose names the kernel's meta package and we give, and unpacks what is
# used.
fetch_debian() {
    local kernel
    mkdir -p "$GUEST/apt/lists/partial" "$GUEST/apt/cache/archives/partial" && : >"$GUEST/apt/status" || return
    # A source that is not reached is an error, not a warning.
    guest_apt apt-get -o APT::Update::Error-Mode=any update || return
    kernel=$(guest_apt apt-cache depends linux-image-arm64 |
        sed -nE 's/^ *Depends: (linux-image-[0-9][^ ]*-arm64)$/\1/p' | head -n 1)
    [[ $kernel ]] || {
        echo "apt knows no linux-image-arm64 for arm64: the machine's apt sources carry no Debian arm64 packages"
        return 1
    }
    rm -rf "$GUEST/new"
    mkdir -p "$GUEST/new/unpacked" || return
    (cd "$GUEST/new" && guest_apt apt-get download "$kernel" busybox-static) || return
    unpack linux-image-*.deb --wildcards './boot/vmlinuz-*' '*/xen-blkfront.ko*' '*/xen-netfront.ko*' && unpack busybox-static_*.deb ./bin/busybox &&
        mv "$GUEST"/new/unpacked/boot/vmlinuz-* "$GUEST/new/vmlinuz" &&
        find "$GUEST/new/unpacked" -name 'xen-*front.ko.xz' -exec xz -d {} \; &&
        find "$GUEST/new/unpacked" -name 'xen-*front.ko' -exec mv {} "$GUEST/new/" \; || return
    # arm64's make install leaves an uncompressed Image; take a compressed one too.
    if [[ $(od -An -tx1 -N2 "$GUEST/new/vmlinuz") == ' 1f 8b' ]]; then
        gzip -dc "$GUEST/new/vmlinuz" >"$GUEST/new/Image" || return
    else
        mv "$GUEST/new/vmlinuz" "$GUEST/new/Image" || return
    fi
    # Magic number of an arm64 Image (Documentation/arm64/booting.rst): "ARM\x64" at byte 56.
    [[ $(od -An -c -j56 -N4 "$GUEST/new/Image") == *'A   R   M   d'* ]] || {
        echo "the kernel of package $kernel is not an arm64 Image"
        return 1
    }
    mkdir -p "$GUEST/debian" && mv "$GUEST"/new/xen-{blk,net}front.ko "$GUEST/new/Image" "$GUEST/new/unpacked/bin/busybox" "$GUEST/debian/" &&
        (cd "$GUEST/new" && printf '%s\n' *.deb) >"$GUEST/debian/packages" && rm -rf "$GUEST/new" "$GUEST/apt"
}

# Takes the files that tar's arguments name out of package $1, a pattern in build/guest/new.
unpack() {
    local package=$1
    shift
    # shellcheck disable=SC2086
    (cd "$GUEST/new" && dpkg-deb --fsys-tarfile $package | tar -x -C unpacked "$@")
}

# The Debian part, fetched once; `clean` fetches anew.
ensure_debian() {
    [[ ! -e $GUEST/debian/packages || ! -e $GUEST/debian/xen-blkfront.ko || ! -e $GUEST/debian/xen-netfront.ko ]] || return 0
    have apt-get || fail "the default guest comes from Debian with apt, which is missing; give ZAZEN_KERNEL and ZAZEN_INITRD"
    need dpkg-deb xz
    say "Fetching Debian's arm64 kernel and busybox, once: about 75 MB, of which 35 MB stay in $(shown "$GUEST")."
    step fetch-debian-guest fetch_debian ||
        fail "cannot fetch Debian's arm64 kernel and busybox; without them give ZAZEN_KERNEL and ZAZEN_INITRD"
}

# Our program $1 for guests.
build_guest_program() {
    (cd "$ROOT/guests" && cargo build --locked --release --target "$RUST_TARGET" --target-dir "$GUEST_TARGET" -p "zazen-$1")
}

# Those that have been built: once for each command.
GUEST_PROGRAMS=()

# Brings our program $1 for guests up to date.
ensure_guest_program() {
    [[ " ${GUEST_PROGRAMS[*]-} " != *" $1 "* ]] || return 0
    need cc libc
    need_rust_target
    step "guest-$1" build_guest_program "$1"
    GUEST_PROGRAMS+=("$1")
}

# Packs the initial RAM disk. It is not compressed: unpacking costs the guest 31 million
# instructions, 3 % of its boot, and saves less than a megabyte.
pack_initrd() {
    local tree=$GUEST/tree applet
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,etc,modules,proc,sys,tmp} &&
        cp "$GUEST"/debian/xen-{blk,net}front.ko "$tree/modules/" &&
        cp "$GUEST/debian/busybox" "$GUEST_TARGET/$RUST_TARGET/release/"zazen-{counter,spinlock} "$tree/bin/" &&
        cp "$ROOT/guests/linux/init" "$tree/init" && chmod 755 "$tree/init" "$tree"/bin/* || return
    while read -r applet; do ln -s busybox "$tree/bin/$applet" || return; done <"$ROOT/guests/linux/applets"
    # The same bytes from the same inputs: times, order, owners and inodes are fixed.
    find "$tree" -exec touch -h -d @0 {} + || return
    (cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$GUEST_FILES/initrd.cpio.new" &&
        mv "$GUEST_FILES/initrd.cpio.new" "$GUEST_FILES/initrd.cpio" && rm -rf "$tree"
}

ensure_kernel() {
    local kernel=${ZAZEN_KERNEL-}
    if [[ ! $kernel ]]; then
        ensure_debian
        kernel=$GUEST/debian/Image
    elif [[ ! -r $kernel ]]; then
        fail "ZAZEN_KERNEL names $kernel, which cannot be read"
    fi
    link_file "$kernel" Image
}

ensure_initrd() {
    local stamp programs=$GUEST_TARGET/$RUST_TARGET/release
    if [[ ${ZAZEN_INITRD-} ]]; then
        [[ -r $ZAZEN_INITRD ]] || fail "ZAZEN_INITRD names $ZAZEN_INITRD, which cannot be read"
        link_file "$ZAZEN_INITRD" initrd.cpio
        return
    fi
    ensure_debian
    need cpio
    ensure_guest_program counter
    ensure_guest_program spinlock
    stamp=$(stamp_of "$GUEST/debian/busybox" "$GUEST"/debian/xen-{blk,net}front.ko "$programs"/zazen-{counter,spinlock} "$ROOT/guests/linux/init" "$ROOT/guests/linux/applets" "$ROOT/tools/sh/guest.sh")
    [[ ! -L $GUEST_FILES/initrd.cpio ]] || rm "$GUEST_FILES/initrd.cpio"
    fresh "$GUEST_FILES/initrd.cpio" "$stamp" && return
    step pack-initrd pack_initrd
    printf '%s' "$stamp" >"$GUEST_FILES/initrd.cpio.stamp"
}

# Our bare-metal test guest; the linker writes it as a flat arm64 Image.
ensure_probe() {
    ensure_guest_program probe
    cmp -s "$GUEST_TARGET/$RUST_TARGET/release/zazen-probe" "$GUEST_FILES/probe.img" ||
        cp "$GUEST_TARGET/$RUST_TARGET/release/zazen-probe" "$GUEST_FILES/probe.img"
}

link_file() {
    [[ $(readlink "$GUEST_FILES/$2" 2>/dev/null) == "$1" ]] || ln -sfn "$1" "$GUEST_FILES/$2"
}

# Names that the modules of domains file $1 have, one a line; none where it is no device tree, which
# the checker tells.
module_names() {
    local format=dts
    [[ $(od -An -tx1 -N4 "$1") != ' d0 0d fe ed' ]] || format=dtb
    dtc -q -I "$format" -O dts -- "$1" 2>/dev/null | grep -o 'zazen,file = "[^"]*"' | cut -d'"' -f2 || true
}

# The steps that domains file $1 takes of those below, one a line.
guest_steps() {
    local names
    names=$(module_names "$1")
    if grep -qxF Image <<<"$names" && [[ ! ${ZAZEN_KERNEL-} && ! -e $GUEST/debian/packages ]] ||
        grep -qxF initrd.cpio <<<"$names" && [[ ! ${ZAZEN_INITRD-} && ! -e $GUEST/debian/packages ]]; then
        echo fetch-debian-guest
    fi
    if grep -qxF initrd.cpio <<<"$names" && [[ ! ${ZAZEN_INITRD-} ]]; then
        printf '%s\n' guest-counter guest-spinlock pack-initrd
    fi
    if grep -qxF probe.img <<<"$names"; then
        echo guest-probe
    fi
}

# Brings those of our files that domains file $1 names up to date; others belong to who wrote it.
ensure_guest_files() {
    local name names
    mkdir -p "$GUEST_FILES"
    names=$(module_names "$1")
    for name in Image initrd.cpio probe.img debian-initrd.cpio disk-initrd.cpio; do
        grep -qxF "$name" <<<"$names" || continue
        case $name in
            Image) ensure_kernel ;;
            initrd.cpio) ensure_initrd ;;
            probe.img) ensure_probe ;;
            debian-initrd.cpio)
                ensure_debian_initrd
                link_file "$DEBIAN/initrd.cpio" debian-initrd.cpio
                ;;
            disk-initrd.cpio) ensure_disk_initrd ;;
        esac
    done
}
