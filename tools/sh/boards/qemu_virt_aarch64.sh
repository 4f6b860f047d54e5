# QEMU's `virt` machine. Sourced by build.sh when it is the board.

# Sets QEMU to the machine that boots image $1.
board_qemu() {
    local machine=virt,virtualization=on,gic-version=2 start
    if [[ $HOST == el2 ]]; then
        # Without randomness in the device tree that QEMU makes: a run that counts instructions is
        # the same each time.
        [[ $ICOUNT == no ]] || machine+=,dtb-randomness=off
        start=(-kernel "$1")
    else
        start=(-device "loader,file=$(elf_path "$1"),cpu-num=0")
    fi
    QEMU=(qemu-system-aarch64 -machine "$machine" -cpu cortex-a53 -m 2G "${start[@]}")
    # The multicore kernel waits for all its nodes.
    [[ $CONFIG != smp-* || $HOST == el2 ]] || QEMU+=(-smp 4)
    [[ $HOST != el2 ]] || ((CORES == 1)) || QEMU+=(-smp "$CORES")
}

# Whether all that the machine needs beside the image is there.
board_ready() {
    true
}

# Makes it.
board_prepare() {
    true
}

# Whether the machine stands still under -icount.
board_stops_when_counted() {
    false
}
