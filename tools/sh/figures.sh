# The committed figures: what `bench` must give again, and the published table. Sourced by build.sh.
#
# docs/figures.tsv has a line for each: configuration (debug, release, el2; any where it makes no
# difference), name, value. `bench --update` renews the lines of what it has measured, and the table
# between the two marks in docs/figures.md.

FIGURES_FILE=$ROOT/docs/figures.tsv
FIGURES_PAGE=$ROOT/docs/figures.md
FIGURES_BEGIN='<!-- made from figures.tsv by ./build.sh bench --update; the next mark ends it -->'
FIGURES_END='<!-- end of figures.tsv -->'

# What is measured and depends on more than Zazen: the whole boot is mostly Debian's kernel.
# Recorded, not asserted.
FIGURES_OF_OTHERS='boot boot_native'

# Lines "configuration name value" of what was measured.
MEASURED=()

# Compares what was measured with what is committed; ends 1 where something is dearer.
#
# Counts repeat exactly, so a difference is a change of code. What is allowed is the price of a
# change that is worth it: 1 % on Microkit; on EL2, where a call costs a tenth, 2 % or 15
# instructions, whichever is more.
figures_check() {
    printf '%s\n' "${MEASURED[@]}" | awk -F'\t' -v others=" $FIGURES_OF_OTHERS " '
        FNR == NR { if ($0 !~ /^#/) old[$1 FS $2] = $3; next }
        index(others, " " $2 " ") { next }
        !(($1 FS $2) in old) { printf "no committed figure: %s (%s) is %s\n", $2, $1, $3; missing++; next }
        {
            was = old[$1 FS $2]; seen++
            allowed = was * ($1 == "el2" ? 0.02 : 0.01)
            if ($1 == "el2" && $2 !~ /^(boot_difference|ram|image)$/ && allowed < 15) allowed = 15
            if ($3 > was + allowed) { printf "dearer: %s (%s) is %s, was %s: %+.1f %%\n", $2, $1, $3, was, ($3 - was) * 100 / was; dearer++ }
            else if ($3 < was - allowed) printf "cheaper: %s (%s) is %s, was %s: commit it with ./build.sh bench --update\n", $2, $1, $3, was
        }
        END {
            printf "%d figures compared with docs/figures.tsv: %d dearer than allowed, %d not committed\n", seen, dearer, missing
            exit dearer + missing > 0
        }' "$FIGURES_FILE" -
}

# Commits what was measured to the file, and makes the page's table anew.
figures_update() {
    printf '%s\n' "${MEASURED[@]}" | awk -F'\t' '
        FNR == NR { if ($0 ~ /^#/) print; else { order[++n] = $1 FS $2; value[$1 FS $2] = $3 } next }
        { if (!(($1 FS $2) in value)) order[++n] = $1 FS $2; value[$1 FS $2] = $3 }
        END { for (i = 1; i <= n; i++) print order[i] FS value[order[i]] }' "$FIGURES_FILE" - >"$FIGURES_FILE.new" &&
        mv "$FIGURES_FILE.new" "$FIGURES_FILE" || return
    figures_page >"$FIGURES_PAGE.new" && mv "$FIGURES_PAGE.new" "$FIGURES_PAGE"
    say "renewed: $(shown "$FIGURES_FILE") and the table in $(shown "$FIGURES_PAGE")"
}

# The page with the table that belongs into it.
figures_page() {
    sed -n "1,\|^$FIGURES_BEGIN\$|p" "$FIGURES_PAGE"
    figures_table
    sed -n "\|^$FIGURES_END\$|,\$p" "$FIGURES_PAGE"
}

# `check`: the page has the table of the file.
check_figures() {
    figures_page | diff -u "$FIGURES_PAGE" - || {
        echo "the table in docs/figures.md is not that of docs/figures.tsv: ./build.sh bench --update makes it"
        return 1
    }
}

# The value of $2 in configuration $1, "-" where there is none.
figure() {
    local value
    value=$(awk -F'\t' -v key="$1" -v name="$2" '$1 == key && $2 == name { print $3 }' "$FIGURES_FILE")
    printf '%s' "${value:--}"
}

# A row in Markdown: what, then values with commas at the thousands.
figures_row() {
    local value
    printf '| %s |' "$1"
    shift
    for value; do printf ' %s |' "$(sed -E ':a; s/^([0-9]+)([0-9]{3})/\1,\2/; ta' <<<"$value")"; done
    echo
}

figures_table() {
    local name what xen libvmm config
    echo
    echo '| | Microkit | EL2 host | Xen 4.22 | libvmm |'
    echo '|---|---:|---:|---:|---:|'
    while IFS='|' read -r name what xen libvmm; do
        [[ $name ]] || continue
        figures_row "$what" "$(figure release "$name")" "$(figure el2 "$name")" "$xen" "$libvmm"
    done <<<"$BASELINES"
    local el2
    for config in release debug; do
        libvmm=BOOT_LIBVMM_$config el2=-
        [[ $config == debug ]] || el2=$(figure el2 boot_difference)
        figures_row "boot of one 256 MiB guest, beyond the bare machine's, $config kernel, M" "$(figure "$config" boot_difference)" \
            "$el2" "$(bench_difference "$BOOT_XEN" "$BOOT_NATIVE_THEIRS")" \
            "$(bench_difference "${!libvmm}" "$BOOT_NATIVE_THEIRS")"
    done
    libvmm=BOOT_LIBVMM_release
    figures_row 'the whole boot from power-on, release kernel, M' "$(figure release boot)" "$(figure el2 boot)" "$BOOT_XEN" "${!libvmm}"
    figures_row 'this guest on the bare machine, M: theirs was another kernel' "$(figure any boot_native)" "$(figure any boot_native)" \
        "$BOOT_NATIVE_THEIRS" "$BOOT_NATIVE_THEIRS"
    figures_row 'records of 1 GiB of guest RAM in 2 MiB frames, bytes' "$(figure any records_whole)" "$(figure any records_whole)" "$RECORDS_XEN" -
    figures_row 'the same if each of them is split, bytes' "$(figure any records_split)" "$(figure any records_split)" "$RECORDS_XEN" -
    figures_row 'RAM taken by the hypervisor, one 256 MiB guest, MiB' "$(figure release ram)" "$(figure el2 ram)" "$RAM_XEN" -
    figures_row "image without the guest's files, MB" "$(figure release image)" "$(figure el2 image)" "$IMAGE_XEN" "$IMAGE_LIBVMM"
    figures_disk_table
}

# What a disk costs.
figures_disk_table() {
    local name what
    echo
    echo '| a disk of a Linux guest | Microkit | EL2 host | the same Linux on the bare machine |'
    echo '|---|---:|---:|---:|'
    while IFS='|' read -r name what; do
        [[ $name ]] || continue
        figures_row "$what" "$(figure release "$name")" "$(figure el2 "$name")" "$(figure any "${name}_bare")"
    done <<<"$DISK_ROWS"
    echo
}
