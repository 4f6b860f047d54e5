# Instruction counts. Sourced by build.sh.

# What others need for the same, under the same QEMU (7.2, virt, cortex-a53, -icount
# shift=0,sleep=off): Xen 4.22 (debug=n, dom0less) and libvmm 0.2.0 on Microkit 2.3 (release
# kernel). Instructions, guest side included; "-" where there is no such operation or no figure.
#
# name | what | Xen | libvmm
BASELINES='
xen_version|hypercall xen_version(version), stub as in Linux|406|-
xen_version_x16|the same, x16 not set right before the HVC|406|-
get_features|hypercall xen_version(get_features)|1026|-
unknown_hypercall|unknown hypercall|352|-
psci_version|PSCI_VERSION by SMC|454|5466
current_reservation|memory_op current_reservation|726|-
gicd_typer_read|GICD_TYPER read|780|4418
gicd_priority_write|GICD_IPRIORITYR write|849|4414
console_io_0|console_io write, 0 bytes|407|-
evtchn_send_masked|evtchn send, masked|845|-
evtchn_send_unbound|evtchn send, unbound port|-|-
vtimer_spinning|virtual timer, CVAL to vector, spinning|992|2850
vtimer_wfi|virtual timer, CVAL to vector, from WFI|4490|3386
self_sgi|self-SGI to vector|1365|5131
sgi_to_ready|SGI to a vCPU that is ready to run, its sender then in WFI|4656|-
sgi_to_sleeper|SGI to a vCPU in WFI, its sender then in WFI|5568|-
cpu_on|CPU_ON to the first instruction, the caller then in WFI|5696|-
lock_alone|an operation under a spin lock, one vCPU|51|-
lock_spinning|the same on four vCPUs, who waits spins|208|-
lock_giving_way|the same, who waits gives up its turn|81|-
grant_map_1|a grant of another guest mapped and unmapped|-|-
grant_map_11|11 of them by one call each way, each|-|-
grant_map_32|32 of them, each|-|-
decrease_page|decrease_reservation of 512 pages, static, each|1854|-
populate_page|populate_physmap of the same|1077|-
balloon_page|both together|2930|-
heap_decrease_page|decrease_reservation of 512 pages, heap, each|2132|-
heap_populate_page|populate_physmap of the same|1938|-
heap_balloon_page|both together|4070|-
heap_decrease_block|decrease_reservation of a 2 MiB extent, heap|921000|-
heap_populate_block|populate_physmap of the same|215000|-
heap_balloon_block|both together|1136000|-
first_decrease|first page of a 2 MiB block, static|10300|-
touch_longest|longest pause at another page of it, in rising order|-|-
touch_sum|all of those pauses together|-|-
touch_looked_at|the hypervisor looks at a page that nobody touched|-|-
next_first_decrease|first page of the next 2 MiB block, static|10300|-
random_touch_longest|longest pause at another page of it, in random order|-|-
heap_first_decrease|first page of a 2 MiB block, heap|10300|-
heap_touch_longest|longest pause at another page of it, in rising order|-|-
heap_touch_sum|all of those pauses together, with the copy|-|-
heap_touch_looked_at|the hypervisor looks at a page that nobody touched|-|-
heap_next_first_decrease|first page of the next 2 MiB block, heap|10300|-
heap_random_touch_longest|longest pause at another page of it, in random order|-|-
pause_down|longest pause while 128 MiB go, static|-|-
pause_up|longest pause while they come back|-|-
heap_pause_down|longest pause while 128 MiB go, heap|-|-
heap_pause_up|longest pause while they come back|-|-
'
# Millions of instructions from power-on to /init; Xen with static memory. Their guest was an
# earlier Debian 6.1 kernel with another initial RAM disk. What can be compared is therefore the
# difference from the bare machine, on which their guest needed BOOT_NATIVE_THEIRS.
BOOT_NATIVE_THEIRS=917
BOOT_XEN=984.0
BOOT_LIBVMM_debug=1418.7
BOOT_LIBVMM_release=1559.7
# Xen's RAM with one 256 MiB guest on a 2 GiB machine (28 MiB of it the frame table) in MiB, and its
# image in MB.
RAM_XEN=33.0
# Its frame table for 1 GiB of RAM, in bytes: 56 for each page of 4 KiB.
RECORDS_XEN=14680064
IMAGE_XEN=1.08
IMAGE_LIBVMM=3.9

# What a disk costs (domains/bench-disk.dts): name | what. Beside the same Linux on the bare
# machine, whose disk is the same device.
DISK_ROWS='
disk_read_1|4 KiB at random, read, one under way
disk_write_1|the same, written
disk_read_32|4 KiB at random, read, 32 under way, each
disk_write_32|the same, written
disk_read|in order through the page cache, read, each KiB
disk_write|the same, written
disk_direct_read|in order past the page cache, read, each KiB
disk_direct_write|the same, written
store_read|a node of the store, read
'

# Runs domains file $1 in configuration $2 until $3 matches; the serial output goes to the log $4.
# $5 is a function that adds to QEMU.
bench_run() {
    BOARD=${BOARDS[0]} CONFIG=$2 DOMAINS=$ROOT/domains/$1 ICOUNT=yes UNTIL=$3
    choose_host
    choose_domains
    PLAN=()
    build_image
    qemu_command "$(image_path)"
    ${5-}
    run_until 180 </dev/null >"$LOGS/bench-run.log" 2>&1 || {
        tail -n 20 "$LOGS/bench-run.log" >&2
        fail "the benchmark of $1 ($2) did not finish"
    }
    tr -d '\r' <"$LOGS/serial.log" >"$4"
}

# One row: what, here, Xen, libvmm.
bench_row() {
    printf '%-48s %10s %10s %10s\n' "$@"
}

# A result for bench.json and the committed figures: name, configuration (null: any), unit, here,
# Xen, libvmm ("-" where there is none).
bench_result() {
    local config=$2
    [[ $config == null ]] || config="\"$config\""
    JSON+=("{\"name\":\"$1\",\"config\":$config,\"unit\":\"$3\",\"here\":$4,\"xen\":${5/#-/null},\"libvmm\":${6/#-/null}}")
    MEASURED+=("${2/#null/any}"$'\t'"$1"$'\t'"$4")
}

bench_operations() {
    local log=$LOGS/bench-operations.log name what xen libvmm count
    bench_run bench-heap.dts "$1" 'bench: done' "$log"
    bench_run bench-pause-heap.dts "$1" 'bench: done' "$log.pause"
    cat "$log.pause" >>"$log"
    sed -i -E 's/bench: ([a-z_]+ [0-9]+)$/bench: heap_\1/' "$log"
    bench_run bench.dts "$1" 'bench: done' "$log.static"
    cat "$log.static" >>"$log"
    bench_run bench-pause.dts "$1" 'bench: done' "$log.pause"
    cat "$log.pause" >>"$log"
    bench_run smp-bench.dts "$1" 'bench: done' "$log.smp"
    cat "$log.smp" >>"$log"
    bench_run bench-peers.dts "$1" 'bench: done' "$log.peers"
    cat "$log.peers" >>"$log"
    bench_row "instructions ($1)" here 'Xen 4.22' libvmm
    while IFS='|' read -r name what xen libvmm; do
        [[ $name ]] || continue
        count=$(sed -nE "s/.*bench: $name ([0-9]+)$/\1/p" "$log")
        [[ $count ]] || continue
        bench_row "$what" "$count" "$xen" "$libvmm"
        bench_result "$name" "$1" instructions "$count" "$xen" "$libvmm"
    done <<<"$BASELINES"
}

bench_boot() {
    local log=$LOGS/bench-boot-$1.log ticks count libvmm=BOOT_LIBVMM_$1
    bench_run one-linux.dts "$1" 'zazen-boot: cntvct=[0-9]+ cntfrq=[0-9]+$' "$log"
    ticks=$(bench_ticks "$log")
    count=$(bench_millions "$ticks")
    libvmm=${!libvmm-null}
    bench_row "power-on to user space, 256 MiB ($1), M" "$count" "$BOOT_XEN" "${libvmm/#null/-}"
    bench_row "of it not the guest's on the bare machine, M" "$(bench_difference "$count" "$NATIVE")" \
        "$(bench_difference "$BOOT_XEN" "$BOOT_NATIVE_THEIRS")" "$(bench_difference "${libvmm/#null/-}" "$BOOT_NATIVE_THEIRS")"
    bench_result boot "$1" "million instructions" "$count" "$BOOT_XEN" "${libvmm/#null/-}"
    bench_result boot_difference "$1" "million instructions" "$(bench_difference "$count" "$NATIVE")" \
        "$(bench_difference "$BOOT_XEN" "$BOOT_NATIVE_THEIRS")" "$(bench_difference "${libvmm/#null/-}" "$BOOT_NATIVE_THEIRS")"
}

# $1 without $2, "-" where the first is.
bench_difference() {
    if [[ $1 == - ]]; then printf -- -; else awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a - b }'; fi
}

# Sets QEMU to the bare machine with 256 MiB, initial RAM disk $1 and words $2 for the kernel.
bench_bare() {
    QEMU=(qemu-system-aarch64 -machine 'virt,gic-version=2' -cpu cortex-a53 -m 256M -nic none -display none -serial mon:stdio
        -icount 'shift=0,sleep=off' -kernel "$GUEST_FILES/Image" -initrd "$GUEST_FILES/$1" -append "console=ttyAMA0 quiet $2")
}

# The rows of a disk: of configuration $1, beside those of the bare machine.
bench_disk() {
    local log=$LOGS/bench-disk.log name what here bare
    ensure_guest_files "$ROOT/domains/bench-disk.dts"
    bench_bare disk-initrd.cpio disk=rows
    qemu_quick_disk
    UNTIL='disk: measured$'
    run_until 180 </dev/null >"$log" 2>&1 || fail "the bare machine did not measure its disk; see $(shown "$log")"
    bench_disk_log "$LOGS/serial.log" >"$log.bare"
    bench_run bench-disk.dts "$1" 'disk: measured$' "$log" qemu_quick_disk
    bench_disk_log "$log" >"$log.here"
    bench_row "instructions ($1)" here bare times
    while IFS='|' read -r name what; do
        [[ $name ]] || continue
        here=$(sed -nE "s/^$name ([0-9.]+)$/\1/p" "$log.here") bare=$(sed -nE "s/^$name ([0-9.]+)$/\1/p" "$log.bare")
        [[ $here ]] || fail "no figure for $name; see $(shown "$log")"
        bench_row "$what" "$here" "${bare:--}" "$(awk -v a="$here" -v b="${bare:-0}" 'BEGIN { if (b) printf "%.2f", a / b; else print "-" }')"
        bench_result "$name" "$1" instructions "$here" - -
        [[ ! $bare ]] || bench_result "${name}_bare" null instructions "$bare" - -
    done <<<"$DISK_ROWS"
}

# Lines "name value" of a disk's log $1. What dd does is between two counters: 64 Ki KiB, a tick
# of 16 instructions.
bench_disk_log() {
    tr -d '\r' <"$1" | sed -nE 's/.*bench: ([a-z_0-9]+ [0-9]+)$/\1/p'
    tr -d '\r' <"$1" | awk '/disk: disk_/ { name = $NF; from = 0 }
        /zazen-boot: cntvct=/ && name {
            match($0, /cntvct=[0-9]+/); ticks = substr($0, RSTART + 7, RLENGTH - 7)
            if (from) { printf "%s %d\n", name, (ticks - from) * 16 / 65536; name = "" } else from = ticks
        }'
}

# The same guest without a hypervisor, for comparison.
bench_native() {
    local log=$LOGS/bench-native.log ticks count
    ensure_guest_files "$ROOT/domains/one-linux.dts"
    bench_bare initrd.cpio hostname=native
    UNTIL='zazen-boot: cntvct=[0-9]+ cntfrq=[0-9]+$'
    run_until 60 </dev/null >"$log" 2>&1 || fail "the bare machine did not boot; see $(shown "$LOGS")/bench-native.log"
    ticks=$(bench_ticks "$LOGS/serial.log")
    count=$(bench_millions "$ticks")
    NATIVE=$count
    bench_row "power-on to user space without hypervisor, M" "$count" "$BOOT_NATIVE_THEIRS" "$BOOT_NATIVE_THEIRS"
    bench_result boot_native null "million instructions" "$count" "$BOOT_NATIVE_THEIRS" "$BOOT_NATIVE_THEIRS"
}

# Counter ticks from power-on to /init in the serial log $1.
bench_ticks() {
    tr -d '\r' <"$1" | sed -nE 's/.*zazen-boot: cntvct=([0-9]+) cntfrq=62500000$/\1/p' | head -n 1
}

# A tick is 16 ns, and under icount a nanosecond is an instruction.
bench_millions() {
    awk -v ticks="$1" 'BEGIN { printf "%.1f", ticks * 16 / 1e6 }'
}

# What one-linux.dts takes: on Microkit as the image builder counts it, on EL2 as the host says
# itself when it boots, and its packer. $1 is the configuration.
bench_size() {
    local ram image report=$BUILD/image/${BOARDS[0]}-$1/one-linux.img.report
    if [[ $1 != el2 ]]; then
        ram=$(sed -nE 's/^RAM of the hypervisor: ([0-9]+) KiB .*/\1/p' "$report")
        image=$(sed -nE "s/^image without the guests' files: ([0-9]+) bytes$/\1/p" "$report")
        [[ $ram && $image ]] || fail "the image's report does not say what it takes; see $(shown "$report")"
        bench_size_rows "$1" "$ram" "$image"
        return
    fi
    ram=$(sed -nE 's/^el2: RAM: hypervisor ([0-9]+) KiB .*/\1/p' "$LOGS/bench-boot-el2.log" | head -n 1)
    image=$(sed -nE 's/.* bytes, ([0-9]+) of them without .*/\1/p' "$LOGS/image-${BOARDS[0]}-el2-one-linux.log" | tail -n 1)
    [[ $ram && $image ]] || fail "the EL2 host did not say what it takes; see $(shown "$LOGS")/bench-boot-el2.log"
    bench_size_rows el2 "$ram" "$image"
}

# KiB of RAM and bytes of the image in configuration $1.
bench_size_rows() {
    local ram image
    ram=$(awk -v n="$2" 'BEGIN { printf "%.1f", n / 1024 }')
    image=$(awk -v n="$3" 'BEGIN { printf "%.2f", n / 1e6 }')
    bench_row 'RAM of the hypervisor, one 256 MiB guest, MiB' "$ram" "$RAM_XEN" -
    bench_row "image without the guest's files, MB" "$image" "$IMAGE_XEN" "$IMAGE_LIBVMM"
    bench_result ram "$1" MiB "$ram" "$RAM_XEN" -
    bench_result image "$1" MB "$image" "$IMAGE_XEN" "$IMAGE_LIBVMM"
}

# What the memory server keeps for 1 GiB of RAM, the same on every host.
bench_records() {
    local name what count
    while IFS='|' read -r name what; do
        count=$(sed -nE "s/^$name ([0-9]+)$/\1/p" "$LOGS/bench-records.log")
        [[ $count ]] || fail "no figure for the records of the memory server; see $(shown "$LOGS")/bench-records.log"
        bench_row "$what" "$count" "$RECORDS_XEN" -
        bench_result "records_$name" null bytes "$count" "$RECORDS_XEN" -
    done <<'EOT'
whole|records for 1 GiB of RAM in 2 MiB frames, bytes
split|the same if each of them is split, bytes
EOT
}

# What several cores are worth, by the clock of the host: docs/design/cores.md.
bench_multicore() {
    local config=smp-release
    [[ $HOST != el2 ]] || config=smp-el2
    # The program has images built by this script.
    unlock_build
    cargo run -q --locked --manifest-path "$ROOT/Cargo.toml" -p zazen-tests --bin core-figures -- --build-sh "$ROOT/build.sh" "$config"
}

command_bench() {
    local config=release boots=(debug release) boot
    [[ $BOARD == "${BOARDS[0]}" ]] || fail "bench knows one machine, ${BOARDS[0]}"
    [[ ! $DOMAINS ]] || fail "bench has its own domains files"
    if [[ $CONFIG_GIVEN == yes ]]; then
        config=$CONFIG
        boots=("$CONFIG")
    fi
    choose_host
    if [[ $HOST == el2 ]]; then
        config=el2
        boots=(el2)
    fi
    need qemu-system-aarch64
    if [[ $MULTICORE == yes ]]; then
        bench_multicore
        return
    fi
    if [[ $FAIRNESS == yes ]]; then
        bench_fairness "$config"
        return
    fi
    if [[ $BUDGETS == yes ]]; then
        bench_budgets "$config"
        return
    fi
    [[ ! $FILTER || $FILTER == disk ]] || fail "--filter goes with --fairness and --budgets, or is disk"
    JSON=()
    if [[ ! $FILTER ]]; then
        bench_operations "$config"
        bench_native
        for boot in "${boots[@]}"; do bench_boot "$boot"; done
        bench_size "$config"
        cargo run -q --manifest-path "$ROOT/Cargo.toml" -p memory-server --example footprint >"$LOGS/bench-records.log" ||
            fail "the memory server's records could not be measured"
        bench_records
    fi
    bench_disk "$config"
    (
        IFS=,
        printf '{"qemu":"%s","results":[%s]}\n' "$(qemu-system-aarch64 --version | head -n 1)" "${JSON[*]}"
    ) >"$BUILD/bench.json"
    say "also in $(shown "$BUILD")/bench.json"
    [[ $UPDATE == no ]] || figures_update
    [[ $CHECK == no ]] || figures_check
}
