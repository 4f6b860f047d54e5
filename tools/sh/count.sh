# What passed, failed and was skipped. Sourced by build.sh; `check` and `test` end with the sum.

PASSED=0
FAILED=0
SKIPPED=0

# The last line of `check` and `test`; ends 1 where something failed.
count_told() {
    echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
    ((FAILED == 0))
}

passed() {
    PASSED=$((PASSED + 1))
    echo "ok $1${2:+: $2}"
}

failed() {
    FAILED=$((FAILED + 1))
    echo "FAILED $1: $2"
}

skipped() {
    SKIPPED=$((SKIPPED + 1))
    echo "skipped $1: $2"
}

# Whether the test or check of this name is wanted.
wanted() {
    [[ $1 == *"$FILTER"* ]]
}

# Adds up the lines "test result: ok. 5 passed; 0 failed; 1 ignored; ..." of log $1, which step $2
# wrote and ended with status $3.
count_cargo() {
    local passed failed ignored
    read -r passed failed ignored < <(awk '/^test result: / { p += $4; f += $6; i += $8 } END { print p + 0, f + 0, i + 0 }' "$1")
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    SKIPPED=$((SKIPPED + ignored))
    ((failed == 0)) || sed -n '/^failures:$/,/^test result/p' "$1"
    # A crate that does not compile, or a test that aborts, leaves no count.
    (($3 == 0 || failed != 0)) || failed "$2" "ended with status $3; see $(shown "$1")"
}
