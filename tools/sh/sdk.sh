# The Microkit SDK and what carries the hypervisor. Sourced by build.sh.

SDK_VERSION=2.3.0

# Prints the SDK's directory, or nothing.
find_sdk() {
    local directory
    if [[ ${MICROKIT_SDK-} ]]; then
        [[ -x $MICROKIT_SDK/bin/microkit ]] || fail "MICROKIT_SDK=$MICROKIT_SDK holds no bin/microkit; unset it or correct it"
        printf '%s' "$MICROKIT_SDK"
        return
    fi
    for directory in "$ROOT/sdk" "${HOME-/nonexistent}/microkit-sdk"; do
        [[ -x $directory/bin/microkit ]] || continue
        printf '%s' "$directory"
        return
    done
}

explain_sdk() {
    cat >&2 <<END
build.sh: no Microkit SDK found (MICROKIT_SDK, ./sdk, ~/microkit-sdk), and images need one.
It is Microkit $SDK_VERSION of the seL4 project, with the boards ${BOARDS[*]}:

  - a release archive for your machine: https://github.com/seL4/microkit/releases
  - or your own build, as DEVELOPER.md of https://github.com/seL4/microkit (tag $SDK_VERSION, with seL4 16.0.0)
    describes under "Building the SDK"; it takes some minutes

Then point MICROKIT_SDK at the directory that holds bin/microkit, or link it as ./sdk or ~/microkit-sdk.
END
}

# Cores that are used: on microkit those of the configuration's kernel, from the SDK.
cores() {
    if [[ $HOST == microkit && $CONFIG == smp-* ]]; then
        sed -nE 's/.*"MAX_NUM_NODES": *"?([0-9]+)"?.*/\1/p' "$SDK_BOARD/include/kernel/gen_config.json"
    else
        echo "$CORES"
    fi
}

# What carries the hypervisor, for messages and tables.
carrier() {
    if [[ $HOST == el2 ]]; then printf '%s' "$(el2_name)"; else printf 'microkit, %s' "$CONFIG"; fi
}

# Sets HOST and, for microkit, SDK and SDK_BOARD (the directory of board and configuration); ends
# the command where that host cannot be had.
choose_host() {
    SDK=$(find_sdk)
    if [[ ! $HOST ]]; then
        HOST=microkit
        if [[ ! $SDK ]]; then
            HOST=el2
            say "No Microkit SDK: using the EL2 host, which has no isolation between servers (./build.sh image --host microkit tells how to get an SDK)."
        fi
    fi
    if [[ $HOST == el2 ]]; then
        return
    fi
    ((CORES == 1)) || fail "--cores is for el2; microkit's kernel uses several with --config smp-release or smp-debug"
    if [[ ! $SDK ]]; then
        explain_sdk
        exit 1
    fi
    SDK=$(cd "$SDK" && pwd)
    SDK_BOARD=$SDK/board/$BOARD/$CONFIG
    [[ -e $SDK_BOARD/elf/sel4.elf ]] ||
        fail "the SDK in $SDK was built without board $BOARD in configuration $CONFIG; it has: $(cd "$SDK/board" && echo */*)"
    local version
    version=$(cat "$SDK/VERSION" 2>/dev/null || echo unknown)
    [[ $version == "$SDK_VERSION" ]] ||
        say "note: the SDK in $SDK is version $version; Zazen is built and tested with $SDK_VERSION"
}
