# Booting an image in QEMU. Sourced by build.sh.

# Sets QEMU to the command line that boots image $1.
qemu_command() {
    # shellcheck source=/dev/null
    source "$ROOT/tools/sh/boards/$BOARD.sh"
    board_qemu "$1"
    # Without -nic none QEMU wants the ROM of a network card, which a minimal Debian's package
    # lacks.
    QEMU+=(-nic none)
    # The escape character is moved from Ctrl-a, which belongs to the console server, to Ctrl-].
    QEMU+=(-display none -serial mon:stdio -echr 0x1d -no-reboot)
    [[ $ICOUNT == no ]] || QEMU+=(-icount 'shift=0,sleep=off')
}

command_run() {
    local image
    choose_host
    choose_domains
    image=$(image_path)
    qemu_command "$image"
    if [[ $DRY_RUN == yes ]]; then
        if [[ ! -e $image ]] || ! board_ready; then
            say "note: $(shown "$image") is not built yet: ./build.sh image --host $HOST --board $BOARD --config $CONFIG --domains $(shown "$DOMAINS")"
        fi
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
    # A guest may run for hours.
    unlock_build
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

# Runs until RUN_MATCHES lines (1 where that is not set) of the serial output match UNTIL (0), the
# machine stops or $1 seconds have passed (1). Input is passed on. The output is shown and kept in
# build/log/serial.log.
run_until() {
    local log=$LOGS/serial.log limit=$1 start=$SECONDS qemu viewer terminal='' result='' status=0
    grep -qE -- "$UNTIL" /dev/null || (($? == 1)) || fail "--until: '$UNTIL' is not an extended regular expression"
    [[ ! -t 0 ]] || terminal=$(stty -g)
    : >"$log"
    "${QEMU[@]}" <&0 >"$log" 2>&1 9>&- &
    qemu=$!
    tail -n +1 -s 0.1 -f --pid="$qemu" "$log" 9>&- &
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
