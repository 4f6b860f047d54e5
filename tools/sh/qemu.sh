# Booting an image in QEMU. Sourced by build.sh.

# Sets QEMU to the command line that boots image $1.
qemu_command() {
    # Without randomness in the device tree that QEMU makes: a run that counts instructions is the same each time.
    local counted=
    [[ $ICOUNT == no ]] || counted=,dtb-randomness=off
    case $BOARD-$HOST in
        qemu_virt_aarch64-el2)
            QEMU=(qemu-system-aarch64 -machine "virt,virtualization=on,gic-version=2$counted" -cpu cortex-a53 -m 2G -kernel "$1")
            ;;
        qemu_virt_aarch64-*)
            QEMU=(qemu-system-aarch64 -machine 'virt,virtualization=on,gic-version=2' -cpu cortex-a53 -m 2G
                -device "loader,file=$(elf_path "$1"),cpu-num=0")
            ;;
        zcu102-*)
            # With secure=on QEMU does what firmware does on the board: it puts interrupts into group 1 (without it no
            # interrupt reaches seL4), answers PSCI and starts what it takes for a Linux kernel at EL2; for that it wants a
            # device tree. Microkit's image is no arm64 Image, so a stub jumps to it.
            local kernel=$1
            [[ $HOST == el2 ]] || kernel=$BUILD/zcu102/stub.img
            QEMU=(qemu-system-aarch64 -machine 'xlnx-zcu102,secure=on,virtualization=on' -m 4G
                -kernel "$kernel" -dtb "$BUILD/zcu102/empty.dtb")
            [[ $HOST == el2 ]] || QEMU+=(-device "loader,file=$1,addr=0x40000000")
            # Its DisplayPort has sound, of which the libraries would complain.
            QEMU=(env QEMU_AUDIO_DRV=none "${QEMU[@]}")
            ;;
    esac
    # The multicore kernel waits for all its nodes.
    [[ $CONFIG != smp-* || $HOST == el2 || $BOARD == zcu102 ]] || QEMU+=(-smp 4)
    # Without -nic none QEMU wants the ROM of a network card, which a minimal Debian's package lacks.
    QEMU+=(-nic none)
    # The escape character is moved from Ctrl-a, which belongs to the console server, to Ctrl-].
    QEMU+=(-display none -serial mon:stdio -echr 0x1d -no-reboot)
    [[ $ICOUNT == no ]] || QEMU+=(-icount 'shift=0,sleep=off')
}

# What the zcu102 line names, made with each image: an arm64 Image header whose first instruction branches past it to
# `movz x9, #0x4000, lsl #16; br x9`, with which U-Boot's booti starts Microkit's image on the board too, and a
# device tree that is there but unused.
ensure_zcu102() {
    [[ $BOARD == zcu102 && ! -e $BUILD/zcu102/empty.dtb ]] || return 0
    mkdir -p "$BUILD/zcu102"
    {
        printf '\x10\x00\x00\x14\0\0\0\0\0\0\x08\0\0\0\0\0\0\x10\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0'
        printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ARM\x64\0\0\0\0'
        printf '\x09\x00\xa8\xd2\x20\x01\x1f\xd6'
    } >"$BUILD/zcu102/stub.img"
    printf '/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = "xlnx,zynqmp"; };\n' |
        dtc -q -I dts -O dtb -o "$BUILD/zcu102/empty.dtb" -
}

command_run() {
    local image
    choose_host
    choose_domains
    image=$(image_path)
    qemu_command "$image"
    if [[ $DRY_RUN == yes ]]; then
        [[ -e $image && ($BOARD != zcu102 || -e $BUILD/zcu102/empty.dtb) ]] ||
            say "note: $(shown "$image") is not built yet: ./build.sh image --host $HOST --board $BOARD --config $CONFIG --domains $(shown "$DOMAINS")"
        printf '%q ' "${QEMU[@]}"
        echo
        return
    fi
    need qemu-system-aarch64 dtc
    build_image
    if [[ $UNTIL ]]; then
        run_until "${TIMEOUT:-120}"
    else
        run_interactive
    fi
}

# Gives the terminal to the machine. With --timeout it is taken away again.
run_interactive() {
    local terminal='' status=0
    say "Booting ${DOMAINS#"$ROOT"/} on $BOARD ($(carrier)). Ctrl-a three times moves the input on; Ctrl-] x ends QEMU."
    [[ ! -t 0 ]] || terminal=$(stty -g)
    # An idle machine under icount hears no other signal than KILL.
    if [[ $TIMEOUT ]]; then
        timeout --foreground -s KILL "$TIMEOUT" "${QEMU[@]}" || status=$?
    else
        "${QEMU[@]}" || status=$?
    fi
    [[ ! $terminal ]] || stty "$terminal"
    if [[ $TIMEOUT ]] && ((status == 137)); then
        say "build.sh: stopped after $TIMEOUT s (--timeout)"
        return 1
    fi
    return "$status"
}

# Runs until RUN_MATCHES lines (1 where that is not set) of the serial output match UNTIL (0), the machine stops or $1 seconds have passed (1).
# Input is passed on. The output is shown and kept in build/log/serial.log.
run_until() {
    local log=$LOGS/serial.log limit=$1 start=$SECONDS qemu viewer terminal='' result='' status=0
    grep -qE -- "$UNTIL" /dev/null || (($? == 1)) || fail "--until: '$UNTIL' is not an extended regular expression"
    [[ ! -t 0 ]] || terminal=$(stty -g)
    : >"$log"
    "${QEMU[@]}" <&0 >"$log" 2>&1 &
    qemu=$!
    tail -n +1 -s 0.1 -f --pid="$qemu" "$log" &
    viewer=$!
    # Not left behind, whatever ends this command.
    trap 'kill -KILL "$qemu" "$viewer" 2>/dev/null || true' EXIT
    while [[ ! $result ]]; do
        sleep 0.1
        if (($(tr -d '\r' <"$log" | grep -acE -- "$UNTIL") >= ${RUN_MATCHES:-1})); then
            result=matched
        elif ! kill -0 "$qemu" 2>/dev/null; then
            result=stopped
        elif ((SECONDS - start >= limit)); then
            result=timeout
        fi
    done
    # What came between the last look and the machine's end counts too.
    [[ $result != stopped ]] || ! tr -d '\r' <"$log" | grep -aqE -- "$UNTIL" || result=matched
    kill -KILL "$qemu" 2>/dev/null || true
    wait "$qemu" 2>/dev/null || true
    sleep 0.2
    kill -KILL "$viewer" 2>/dev/null || true
    wait "$viewer" 2>/dev/null || true
    trap - EXIT
    [[ ! $terminal ]] || stty "$terminal"
    case $result in
        matched) say "matched '$UNTIL' after $((SECONDS - start)) s" ;;
        stopped) say "build.sh: the machine stopped before '$UNTIL' appeared" ;;
        timeout) say "build.sh: '$UNTIL' did not appear within $limit s" ;;
    esac
    if [[ $result != matched ]]; then
        status=1
        say "The last lines of $(shown "$log"):"
        tail -n 15 "$log" >&2
    fi
    return "$status"
}
