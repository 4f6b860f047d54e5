# Tools: which are there, which package brings them, and installing them. Sourced by build.sh.

# tool | Debian package | what for
TOOLS=(
    'cc|gcc|linking host programs'
    'libc|libc6-dev|linking host programs'
    'qemu-system-aarch64|qemu-system-arm|booting images'
    'dtc|device-tree-compiler|domains files'
    'clang|clang|bindings of the protection domains'
    'libclang|libclang-dev|bindings of the protection domains'
    'cpio|cpio|the guests'\'' initial RAM disk'
    'gzip|gzip|unpacking kernels'
    'xz|xz-utils|unpacking Debian packages'
    'dpkg-deb|dpkg|unpacking Debian packages'
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
    printf '  %-22s %-8s %s\n' "$1" "$2" "$3"
}

command_doctor() {
    local entry tool package purpose packages=() missing=0 sdk
    echo 'Tools:'
    for entry in "${TOOLS[@]}"; do
        IFS='|' read -r tool package purpose <<<"$entry"
        if tool_present "$tool"; then
            finding "$tool" found "$(tool_version "$tool")"
        else
            finding "$tool" missing "$purpose; apt-get install $package"
            packages+=("$package")
        fi
    done
    if ((${#packages[@]})); then
        if can_install; then
            install_packages "${packages[@]}" || missing=1
        else
            missing=1
            echo "  To install: sudo apt-get install ${packages[*]}"
        fi
    fi
    doctor_rust || missing=1
    echo 'Microkit SDK:'
    sdk=$(find_sdk)
    if [[ $sdk ]]; then
        finding "$(cat "$sdk/VERSION" 2>/dev/null || echo unknown)" found "$sdk; boards: $(cd "$sdk/board" && echo *)"
    else
        finding "$SDK_VERSION" missing './build.sh image tells how to get it; host tests do without'
    fi
    echo 'Disk:'
    finding "$(df -Ph "$ROOT" | awk 'NR == 2 { print $4 }') free" '' "about 4 GB are used under build/"
    return "$missing"
}

doctor_rust() {
    local missing=0
    echo 'Rust:'
    if ! have cargo; then
        finding cargo missing "install Rust $RUST_MINIMUM or later from https://rustup.rs"
        return 1
    fi
    if rust_recent_enough; then
        finding rustc found "$(rust_version)"
    else
        finding rustc 'too old' "$(rust_version); $RUST_MINIMUM or later is needed: rustup update stable"
        missing=1
    fi
    if ! rust_target_present && [[ $INSTALL == yes || $EUID == 0 ]] && have rustup; then
        say "adding the Rust target $RUST_TARGET"
        step rust-target rustup target add "$RUST_TARGET" || true
    fi
    if ! el2_target_present && [[ $INSTALL == yes || $EUID == 0 ]] && have rustup; then
        say "adding the Rust target $EL2_TARGET"
        step el2-target rustup target add "$EL2_TARGET" || true
    fi
    if el2_target_present; then
        finding "$EL2_TARGET" found 'for the EL2 host'
    else
        finding "$EL2_TARGET" missing "rustup target add $EL2_TARGET"
        missing=1
    fi
    if rust_target_present; then
        finding "$RUST_TARGET" found ''
    else
        finding "$RUST_TARGET" missing "rustup target add $RUST_TARGET"
        missing=1
    fi
    if have shellcheck; then
        finding shellcheck found "$(shellcheck --version | awk '/^version:/ { print $2 }')"
    else
        finding shellcheck absent 'optional, used by check'
    fi
    return "$missing"
}
