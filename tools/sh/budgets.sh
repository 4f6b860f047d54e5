# What a budget in each period does: domains/budget.dts, with the budget and without it, and for an
# attack on all vCPUs (smp:NAME) domains/smp-budget.dts. Sourced by build.sh.
#
# Attacks of guests/probe/src/storm.rs that spin, flood the VMM, fault, and have the memory server
# work, and on Microkit those of VMMs (vmm:NAME, pd/hostile/src/greedy.rs); the other guest computes
# and measures what it gets, and in a boot of its own sleeps and measures by how much it is woken
# too late. tests/src/scenes/budget.rs asserts the same.

BUDGET_ATTACKS=(computes hypercalls faults balloon smp:computes smp:hypercalls smp:faults)
# VMMs that attack, on Microkit.
BUDGET_VMM_ATTACKS=(vmm:spin vmm:spin-lent vmm:grab-lent vmm:badcall vmm:jump)

# Boots the domains file in configuration $1 with attack $2, $3 (with, without) the budget and the
# other guest's part $4 (share, late), and prints the figures: percent and longest gap in
# microseconds, or the longest delay.
measure_budget() {
    local config=$1 attack=${2#smp:} with=$3 part=$4 file=budget-${2/:/-}-$3-$4 log domains=budget
    [[ $2 != smp:* ]] || domains=smp-budget
    log=$LOGS/$file.log
    mkdir -p "$BUILD/domains"
    attack_domains "$domains" "$attack" "$BUILD/domains/$file.dts"
    [[ $with == with ]] || sed -i '/zazen,budget =/d; /zazen,period =/d' "$BUILD/domains/$file.dts"
    [[ $part == share ]] || sed -i 's/probe=share windows=4 warm-up=200/probe=late/' "$BUILD/domains/$file.dts"
    UNTIL="$part: done .* us"
    boot_counted "$BUILD/domains/$file.dts" "$config" 1 "$log" "attack $2 $with its budget ($config)"
    attack_begins "$attack" "$log" || fail "attack $2 $with its budget ($config) did not begin; see ${log#"$ROOT"/}"
    case $part in
        share) sed -nE 's/.*share: done .* least ([0-9]+), longest gap ([0-9]+) us$/\1 \2/p' "$log" ;;
        late) sed -nE 's/.*late: done .*, ([0-9]+) us late at most.*/\1/p' "$log" ;;
    esac
}

# The table of configuration $1 in Markdown.
bench_budgets() {
    local attack with least longest late row found=no
    echo "| attack ($1) | no budget: the other has | longest gap, us | latest wake, us | 20 %: the other has | longest gap, us | latest wake, us |"
    echo '|---|--:|--:|--:|--:|--:|--:|'
    for attack in "${BUDGET_ATTACKS[@]}" "${BUDGET_VMM_ATTACKS[@]}"; do
        [[ $attack == *"$FILTER"* && ($HOST != el2 || $attack != vmm:*) ]] || continue
        found=yes row="| $attack |"
        for with in without with; do
            read -r least longest <<<"$(measure_budget "$1" "$attack" "$with" share)"
            late=$(measure_budget "$1" "$attack" "$with" late)
            row+=$(printf ' %d.%d %% | %d | %d |' $((least / 10)) $((least % 10)) "$longest" "$late")
        done
        echo "$row"
    done
    [[ $found == yes ]] || fail "no attack's name contains '$FILTER'"
    say 'What the other has is percent of the processor in the worst window of 100 ms.'
}
