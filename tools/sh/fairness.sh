# Who gets what of the processor while others do what they like. Sourced by build.sh.
#
# Each attack of guests/probe/src/storm.rs, some on four vCPUs (smp:NAME), and with --filter vmm: on
# Microkit of pd/hostile/src/greedy.rs, runs beside guests that measure what they get: one beside
# one (domains/storm.dts) and six beside two (domains/storms.dts). The rule: in every 100 ms at
# least 80 % of a fair share, and never kept waiting for more than 2 ms for each other domain and 1
# ms.

# Names of the guests' attacks that contain $1.
attacks() {
    sed -nE '/^const ATTACKS/,/^\];/s/^ *\("([a-z]+)",.*/\1/p' "$ROOT/guests/probe/src/storm.rs" | grep -F -- "$1" || true
}

# Attacks that a guest makes on each of four vCPUs, too, and that contain $1.
smp_attacks() {
    printf 'smp:%s\n' computes hypercalls faults gic sgis wakes balloon | grep -F -- "$1" || true
}

# Names of the VMMs' attacks that contain $1, as domains are named for them.
vmm_attacks() {
    local attack
    sed -nE '/^const ATTACKS/,/^\];/s/^ *\("([a-z]+)",.*/\1/p' "$ROOT/pd/hostile/src/greedy.rs" | while read -r attack; do
        printf 'vmm:%s\nvmm:%s-lent\n' "$attack" "$attack"
    done | grep -F -- "$1"
}

# Writes the domains file for attack $2 on domains/$1.dts to $3. A VMM's attack is known by its
# domain's name; its guest computes without end, or has its VMM work without end where it strikes on
# its guest's time. Sets TEST_VMMS to who is replaced.
attack_domains() {
    local attack=${2#*:} guest='probe=storm attack=computes' suffix='' name
    TEST_VMMS=()
    if [[ $2 != vmm:* ]]; then
        sed "s/attack=hypercalls/attack=$attack/" "$ROOT/domains/$1.dts" >"$3"
        [[ $attack != rings ]] || pairs_of "$3"
        [[ $2 != smp:* ]] || sed -i "/attacker[0-9]* {/,/};/s/cpus = <1>/cpus = <4>/; s/attack=$attack/& vcpus=4/" "$3"
        return
    fi
    if [[ $attack == *-lent ]]; then
        attack=${attack%-lent} suffix=-lent guest='probe=storm attack=hypercalls'
    fi
    sed -E "s/attacker([0-9]*) \{/$attack\\1$suffix {/; s/probe=storm attack=hypercalls/$guest/" "$ROOT/domains/$1.dts" >"$3"
    while read -r name; do TEST_VMMS+=("$name=hostile"); done < <(sed -nE "s/^\t\t(${attack}[0-9]*$suffix) \{/\1/p" "$3")
}

# Lets each guest of the domains file $1 that attacks meet each one that measures.
pairs_of() {
    local attacker victim pairs='' attackers victims
    mapfile -t attackers < <(sed -nE 's/^\t\t(attacker[0-9]*) \{/\1/p' "$1")
    mapfile -t victims < <(sed -nE 's/^\t\t(victim[0-9]*) \{/\1/p' "$1")
    for attacker in "${attackers[@]}"; do
        for victim in "${victims[@]}"; do
            pairs+="pair-$attacker-$victim { compatible = \"zazen,pair\"; zazen,domains = \"$victim\", \"$attacker\"; zazen,events; };\\n"
        done
    done
    sed -i "s/^\tchosen {/&\n$pairs/" "$1"
}

# Whether attack $1 began, by the output $2.
attack_begins() {
    local line
    case $1 in
        vmm:*) line="\\[hostile\\] ${1#vmm:}" line="${line%-lent} begins" ;;
        *) line="storm: ${1#smp:} begins" ;;
    esac
    grep -q -- "$line" "$2"
}

# Boots the domains file $1 in configuration $2, counting instructions, until $3 lines match UNTIL;
# what it says goes to $4. $5 is what it is for.
boot_counted() {
    BOARD=${BOARDS[0]} CONFIG=$2 DOMAINS=$1 ICOUNT=yes
    # The configuration's own headers: the kernels number their invocations differently.
    choose_host
    PLAN=()
    build_image >/dev/null
    qemu_command "$(image_path)"
    RUN_MATCHES=$3 run_until 300 </dev/null >"$LOGS/fairness-run.log" 2>&1 || {
        tail -n 20 "$LOGS/fairness-run.log" >&2
        fail "no figures for $5; the whole output is in build/log/serial.log"
    }
    tr -d '\r' <"$LOGS/serial.log" >"$4"
}

# Boots domains/$1.dts with attack $2 in configuration $3 and prints the least share of a measuring
# guest in permille, and the longest gap in microseconds.
measure_attack() {
    local domains=$1 attack=$2 log=$LOGS/fairness-$1-${2/:/-}.log victims line least=1000 longest=0 file=$1-${2/:/-}
    mkdir -p "$BUILD/domains"
    attack_domains "$domains" "$attack" "$BUILD/domains/$file.dts"
    victims=$(grep -c 'probe=share' "$BUILD/domains/$file.dts")
    # What is measured says so once; the last of them ends the run.
    UNTIL='share: done .* us$'
    boot_counted "$BUILD/domains/$file.dts" "$3" "$victims" "$log" "attack $attack on $domains ($3)"
    attack_begins "$attack" "$log" || fail "attack $attack on $domains ($3) did not begin; see ${log#"$ROOT"/}"
    while read -r line; do
        [[ $line =~ least\ ([0-9]+),\ longest\ gap\ ([0-9]+)\ us ]] || fail "'$line' in ${log#"$ROOT"/} has no figures"
        ((BASH_REMATCH[1] >= least)) || least=${BASH_REMATCH[1]}
        ((BASH_REMATCH[2] <= longest)) || longest=${BASH_REMATCH[2]}
    done < <(grep -o 'share: done.*' "$log")
    printf '%s %s\n' "$least" "$longest"
}

# One half of a row: domains file $1, attack $2, configuration $3, number of domains $4. Appends to
# ROW, and to BROKEN what breaks the rule.
fairness_cells() {
    local figures least longest fair
    figures=$(measure_attack "$1" "$2" "$3")
    read -r least longest <<<"$figures"
    # Percent of a fair share: permille * domains / 10.
    fair=$((least * $4 / 10))
    ROW+=$(printf ' %3d %% | %6d |' "$fair" "$longest")
    ((fair >= 80)) || BROKEN+=("$2 with $4 domains: $fair % of a fair share")
    ((longest <= 2000 * ($4 - 1) + 1000)) || BROKEN+=("$2 with $4 domains: a gap of $longest us")
}

# The table of configuration $1 in Markdown; fails where the rule is broken.
bench_fairness() {
    local attack
    ROW='' BROKEN=()
    echo "| attack ($1) | 2 domains: least share | longest gap, us | 8 domains: least share | longest gap, us |"
    echo '|---|--:|--:|--:|--:|'
    for attack in $(attacks "$FILTER") $(smp_attacks "$FILTER") $([[ $HOST == el2 || $FILTER != vmm:* ]] || vmm_attacks "$FILTER"); do
        ROW="| $attack |"
        fairness_cells storm "$attack" "$1" 2
        fairness_cells storms "$attack" "$1" 8
        echo "$ROW"
    done
    [[ $ROW ]] || fail "no attack's name contains '$FILTER'"
    say "The least share is percent of a fair share, in the worst window of 100 ms."
    ((${#BROKEN[@]} == 0)) || {
        printf 'build.sh: the rule is broken: %s\n' "${BROKEN[@]}" >&2
        return 1
    }
}
