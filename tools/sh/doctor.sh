# Tools: which are there, which package brings them, and installing them. Sourced by build.sh.

# tool | Debian package | what for | who needs it: all that is built, images on either host, or
# Microkit's
TOOLS=(
    'cc|gcc|linking host programs|all'
    'libc|libc6-dev|linking host programs|all'
    'qemu-system-aarch64|qemu-system-arm|booting images|images'
    'dtc|device-tree-compiler|domains files|images'
    'cpio|cpio|the guests'\'' initial RAM disk|images'
    'gzip|gzip|unpacking kernels|images'
    'xz|xz-utils|unpacking Debian packages|images'
    'dpkg-deb|dpkg|unpacking Debian packages|images'
    'fakeroot|fakeroot|owners of the files of the Debian on a disk|disks'
    'mke2fs|e2fsprogs|the file system of the Debian on a disk|disks'
    'sgdisk|gdisk|partitions of disk images|disks'
    'clang|clang|bindings of the protection domains|microkit'
    'libclang|libclang-dev|bindings of the protection domains|microkit'
)
RUST_TARGET=aarch64-unknown-none
RUST_MINIMUM=$(sed -nE 's/^rust-version *= *"(.*)"/\1/p' "$ROOT/Cargo.toml")

# Whether tool $1 is installed.
tool_present() {
    case $1 in
        libclang) libclang_path >/dev/null ;;
        # A path where it is installed, the bare name where it is not.
        libc) [[ $(cc -print-file-name=crti.o 2>/dev/null) == /* ]] ;;
        *) have "$1" ;;
    esac
}

libclang_path() {
    local directory
    for directory in ${LIBCLANG_PATH-} /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib; do
        compgen -G "$directory/libclang*.so*" && return
    done
    return 1
}

tool_version() {
    case $1 in
        libclang) libclang_path | tail -n 1 ;;
        libc) cc -print-file-name=crti.o ;;
        xz | gzip | cpio | dpkg-deb | cc | clang | qemu-system-aarch64) "$1" --version 2>/dev/null | head -n 1 ;;
        dtc) dtc --version ;;
    esac
}

rust_target_present() {
    [[ -d $(rustc --print sysroot)/lib/rustlib/$RUST_TARGET/lib ]]
}

rust_version() {
    rustc --version | cut -d' ' -f2
}

rust_recent_enough() {
    [[ $(printf '%s\n%s\n' "$RUST_MINIMUM" "$(rust_version)" | sort -V | head -n 1) == "$RUST_MINIMUM" ]]
}

# Installs Debian packages; needs root.
install_packages() {
    say "installing with apt: $*"
    step apt-update apt-get update -q || return 1
    step apt-install env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

can_install() {
    ((EUID == 0)) && have apt-get
}

# need TOOL...: makes sure each is there, installing as root and naming the package otherwise.
need() {
    local entry tool package missing=()
    for entry in "${TOOLS[@]}"; do
        IFS='|' read -r tool package _ <<<"$entry"
        [[ " $* " != *" $tool "* ]] || tool_present "$tool" || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    if can_install; then
        install_packages "${missing[@]}"
    else
        fail "missing: ${missing[*]}. Install with: sudo apt-get install ${missing[*]}"
    fi
}

need_rust() {
    have cargo || fail "cargo is missing. Install Rust $RUST_MINIMUM or later from https://rustup.rs"
    rust_recent_enough || fail "rustc $(rust_version) is too old: $RUST_MINIMUM or later is needed. Try: rustup update stable"
}

need_rust_target() {
    need_rust
    rust_target_present && return
    have rustup || fail "the Rust target $RUST_TARGET is missing, and rustup, which would add it, too"
    step rust-target rustup target add "$RUST_TARGET" || fail "cannot add the Rust target. Try: rustup target add $RUST_TARGET"
}

# One line of the doctor's list: name, state, remark.
finding() {
    printf '  %-33s %-8s %s\n' "$1" "$2" "$3"
}

# Lists the tools that $1 needs; PACKAGES gets what is missing.
doctor_tools() {
    local entry tool package purpose who
    for entry in "${TOOLS[@]}"; do
        IFS='|' read -r tool package purpose who <<<"$entry"
        [[ $who == "$1" ]] || continue
        if tool_present "$tool"; then
            finding "$tool" found "$(tool_version "$tool")"
        else
            finding "$tool" missing "$purpose; apt-get install $package"
            PACKAGES+=("$package")
        fi
    done
}

# Installs what is missing where that is possible; else says how, and ends 1.
doctor_install() {
    ((${#PACKAGES[@]})) || return 0
    if can_install; then
        install_packages "${PACKAGES[@]}"
    else
        echo "  To install: sudo apt-get install ${PACKAGES[*]}"
        return 1
    fi
}

# Lists the Rust target $1, which is for $2; installs it where that is wanted. Ends 1 if it is
# missing.
doctor_target() {
    local present=rust_target_present
    [[ $1 != "$EL2_TARGET" ]] || present=el2_target_present
    if ! "$present" && [[ $INSTALL == yes || $EUID == 0 ]] && have rustup; then
        say "adding the Rust target $1"
        step "target-$1" rustup target add "$1" || true
    fi
    if "$present"; then
        finding "$1" found "$2"
    else
        finding "$1" missing "$2; rustup target add $1"
        return 1
    fi
}

command_doctor() {
    local missing=0 sdk optional
    PACKAGES=()
    echo 'For everything:'
    doctor_rust || missing=1
    doctor_tools all
    doctor_install || missing=1
    if ! have cargo; then return 1; fi
    PACKAGES=()
    echo "For images on either host, and the guests in them:"
    doctor_target "$RUST_TARGET" "the guests' programs, and protection domains" || missing=1
    doctor_tools images
    doctor_install || missing=1
    echo 'For the EL2 host, one image without isolation between servers:'
    doctor_target "$EL2_TARGET" 'the program' || missing=1
    PACKAGES=()
    echo 'For Microkit:'
    sdk=$(find_sdk)
    doctor_tools microkit
    if [[ $sdk ]]; then
        finding "SDK $(cat "$sdk/VERSION" 2>/dev/null || echo unknown)" found "$sdk; boards: $(cd "$sdk/board" && echo *)"
        doctor_install || missing=1
    else
        finding "SDK $SDK_VERSION" absent './build.sh image --host microkit tells how to get it; all else does without'
    fi
    echo 'Optional:'
    for optional in shellcheck cargo-deny; do
        if have "$optional"; then
            finding "$optional" found "$("$optional" --version | awk '/^version:|^cargo-deny/ { print $2 }')"
        else
            finding "$optional" absent 'used by check, which skips what needs it'
        fi
    done
    echo 'Disk:'
    finding "$(df -Ph "$ROOT" | awk 'NR == 2 { print $4 }') free" '' "$DISK"
    finding "$(built_size) used" '' "here, in target/ and $(shown "$BUILD")/"
    return "$missing"
}

# What is taken of the disk, measured on clean clones.
DISK='a first image takes about 0.9 GB for the EL2 host and 1.2 GB for Microkit; all tests on both take 4 GB'

built_size() {
    local directory there=()
    for directory in "${CARGO_TARGET_DIR:-$ROOT/target}" "$BUILD"; do
        [[ ! -d $directory ]] || there+=("$directory")
    done
    if ((${#there[@]})); then du -chs "${there[@]}" 2>/dev/null | awk 'END { print $1 }'; else echo nothing; fi
}

doctor_rust() {
    if ! have cargo; then
        finding cargo missing "install Rust $RUST_MINIMUM or later from https://rustup.rs"
        return 1
    fi
    if rust_recent_enough; then
        finding rustc found "$(rust_version)"
    else
        finding rustc 'too old' "$(rust_version); $RUST_MINIMUM or later is needed: rustup update stable"
        return 1
    fi
}
