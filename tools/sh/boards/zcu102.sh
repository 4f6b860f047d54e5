# QEMU's `xlnx-zcu102`. Sourced by build.sh when it is the board.
#
# With secure=on QEMU does what firmware does on the board: it puts interrupts into group 1 (without
# it no interrupt reaches seL4), answers PSCI and starts what it takes for a Linux kernel at EL2;
# for that it wants a device tree. Microkit's image is no arm64 Image, so a stub jumps to it.

ZCU102=$BUILD/zcu102

# Sets QEMU to the machine that boots image $1.
board_qemu() {
    local kernel=$1
    [[ $HOST == el2 ]] || kernel=$ZCU102/stub.img
    # Its DisplayPort has sound, of which the libraries would complain.
    QEMU=(env QEMU_AUDIO_DRV=none qemu-system-aarch64 -machine 'xlnx-zcu102,secure=on,virtualization=on' -m 4G
        -kernel "$kernel" -dtb "$ZCU102/empty.dtb")
    [[ $HOST == el2 ]] || QEMU+=(-device "loader,file=$1,addr=0x40000000")
}

# Whether all that the machine needs beside the image is there.
board_ready() {
    [[ -e $ZCU102/empty.dtb ]]
}

# Makes what the line above names: an arm64 Image header whose first instruction branches past it to
# `movz x9, #0x4000, lsl #16; br x9`, with which U-Boot's booti starts Microkit's image on the board
# too, and a device tree that is there but unused.
board_prepare() {
    ! board_ready || return 0
    mkdir -p "$ZCU102"
    {
        printf '\x10\x00\x00\x14\0\0\0\0\0\0\x08\0\0\0\0\0\0\x10\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0'
        printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ARM\x64\0\0\0\0'
        printf '\x09\x00\xa8\xd2\x20\x01\x1f\xd6'
    } >"$ZCU102/stub.img"
    printf '/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = "xlnx,zynqmp"; };\n' |
        dtc -q -I dts -O dtb -o "$ZCU102/empty.dtb" -
}

# Whether the machine stands still under -icount: QEMU's triple timer counter rounds the time of its
# next event down, finds at that time that it is not there yet, and waits for 0 ns; counted time
# stands still meanwhile. The EL2 host does not use it.
board_stops_when_counted() {
    [[ $HOST == microkit ]]
}
