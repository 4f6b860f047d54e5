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
    # The board's disk is virtio-mmio slot 0 (crates/board).
    [[ ! $DISK_FILE ]] || qemu_disk -drive "file=$DISK_FILE,format=raw,if=none,id=disk0"
    [[ ! $UPLINK ]] || qemu_nic "$UPLINK"
    if board_stops_when_counted; then
        [[ $ICOUNT == no ]] || fail "--icount: QEMU's timer of $BOARD stands still when instructions are counted; leave the option away"
        ! counts_to_spin || fail "$BOARD with $CONFIG needs four processors of this machine, which has $(nproc): docs/zcu102.md"
    fi
    if [[ $ICOUNT != no ]]; then
        [[ $HOST == el2 || $CONFIG != smp-debug ]] || fail "smp-debug cannot be counted: docs/design/cores.md"
        QEMU+=(-icount 'shift=0,sleep=off')
    elif [[ $REAL_TIME == no ]] && counts_to_spin; then
        QEMU+=(-icount 'shift=0')
    fi
    # Counted cores run in turn, each until QEMU's next timer; and the multicore kernel's wait for
    # each other by spinning. A network without anything in it, whose timer comes each 5 us, makes
    # the turns short.
    ! several_cores || [[ ${QEMU[*]} != *-icount* ]] ||
        QEMU+=(-netdev 'hubport,id=turns,hubid=0' -object 'filter-buffer,id=turn,netdev=turns,interval=5')
}

# Whether the machine has several cores that can be counted. Microkit's debug loader cannot: while a
# core spins QEMU 7.2 gives another one nothing of what is left to the next timer, and the loader
# waits for each core it starts, with nothing that would come in between.
several_cores() {
    if [[ $HOST == el2 ]]; then ((CORES > 1)); else [[ $CONFIG == smp-release ]]; fi
}

# Whether a machine with several cores counts instructions though nobody asked for it: with fewer
# processors than cores one that spins keeps another from what it waits for, so long that time
# slices are over before a system call begins.
counts_to_spin() {
    [[ $HOST == microkit ]] && several_cores && (($(nproc) < 4))
}

# Adds the board's disk, whose medium the options $@ make under the name disk0.
qemu_disk() {
    QEMU+=(-global virtio-mmio.force-legacy=false "$@" -device "virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0")
}

# Adds a disk of zeros that answers while it is asked: no time passes in which nothing is executed.
qemu_quick_disk() {
    qemu_disk -blockdev driver=null-co,node-name=disk0,size=536870912,read-zeroes=on -global virtio-mmio.ioeventfd=off
}

# Adds the board's network device, virtio-mmio slot 8 (crates/board), behind QEMU's backend $1:
# user or tap, with QEMU's own options of these behind a comma.
qemu_nic() {
    [[ ${QEMU[*]} == *virtio-mmio.force-legacy=false* ]] || QEMU+=(-global virtio-mmio.force-legacy=false)
    QEMU+=(-netdev "${1/,/,id=uplink,}$([[ $1 == *,* ]] || printf ',id=uplink')")
    QEMU+=(-device "virtio-net-device,netdev=uplink,bus=virtio-mmio-bus.8")
}

# QEMU's backend for the board's network device; empty: there is no such device.
UPLINK=

# Chooses UPLINK from --nic and what the domains file wants.
choose_uplink() {
    case $NIC in
        none) ;;
        '') ! grep -q 'zazen,uplink' "$DOMAINS" || UPLINK=user ;;
        *)
            UPLINK=$NIC
            [[ $BOARD == "${BOARDS[0]}" ]] || fail "board $BOARD has no network device that Zazen drives; leave --nic out"
            ;;
    esac
}

# The file of the board's disk; empty: there is none.
DISK_FILE=

# Chooses DISK_FILE from --disk and what the domains file wants; makes nothing.
choose_disk() {
    if [[ $DISK =~ ^[0-9]+[KMG]$ ]]; then
        DISK_FILE=$BUILD/disk.img
    elif [[ $DISK ]]; then
        DISK_FILE=$DISK
    elif grep -qE 'zazen,partition = "debian"' "$DOMAINS"; then
        DISK_FILE=$BUILD/debian/run.img
    fi
    [[ ! $DISK_FILE || $BOARD == "${BOARDS[0]}" ]] || fail "board $BOARD has no disk that Zazen drives; use a file of the image: zazen,file"
}

# Brings DISK_FILE into being, if it is ours.
ensure_disk() {
    if [[ $DISK =~ ^[0-9]+[KMG]$ ]]; then
        [[ -e $DISK_FILE ]] || : >"$DISK_FILE"
        truncate -s "$DISK" "$DISK_FILE"
    elif [[ $DISK ]]; then
        [[ -r $DISK_FILE && -w $DISK_FILE ]] || fail "--disk: $DISK_FILE cannot be read and written; for a new one give its size, such as 64M"
    elif [[ $DISK_FILE ]]; then
        ensure_debian_disk
        [[ -e $DISK_FILE ]] || cp --sparse=always "$DEBIAN/disk.img" "$DISK_FILE"
    fi
}

command_run() {
    local image
    choose_host
    choose_domains
    choose_disk
    choose_uplink
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
    ensure_disk
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
