# Messages, timed steps and stamps. Sourced by build.sh.

# One line for the person at the terminal; standard output is left to results.
say() {
    printf '%s\n' "$*" >&2
}

# Ends the command with a message that names cause and remedy.
fail() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

absolute() {
    if [[ $1 == /* ]]; then printf '%s' "$1"; else printf '%s/%s' "$PWD" "$1"; fi
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# step NAME COMMAND...: runs it with its output in build/log/NAME.log. Quiet when it is quick; a line
# with the time it took when not, one every half minute meanwhile; the log's end when it fails.
#
# COMMAND may be a function of several commands; it then says `|| return` itself. Bash does not stop at
# an error (set -e) in anything that is called on the left of `||`, as steps are.
step() {
    local name=$1 log=$LOGS/${1//[^A-Za-z0-9._-]/-}.log start=$SECONDS status=0 pid told=0
    shift
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.1
        if ((SECONDS - start >= told + 30)); then
            told=$((SECONDS - start))
            say "  $name: $told s so far (log: ${log#"$ROOT"/})"
        fi
    done
    wait "$pid" || status=$?
    if ((status)); then
        tail -n 30 "$log" >&2
        say "build.sh: '$name' failed with status $status after $((SECONDS - start)) s; whole log: ${log#"$ROOT"/}"
        return "$status"
    fi
    ((SECONDS - start < 2)) || say "  $name: $((SECONDS - start)) s"
}

# A digest of the files named on the command line and of the words after `--`.
stamp_of() {
    local file
    {
        while (($#)) && [[ $1 != -- ]]; do
            file=$1
            shift
            sha256sum <"$file"
        done
        printf '%s\n' "$@"
    } | sha256sum | cut -d' ' -f1
}

# Whether $1 exists and was made from the inputs whose digest is $2.
fresh() {
    [[ -e $1 && -e $1.stamp && $(<"$1.stamp") == "$2" ]]
}

# A path below the checkout as a person names it.
shown() {
    printf '%s' "${1#"$ROOT"/}"
}

# Makes the directory for all that is built, or says where another one can be named.
prepare_build() {
    # Nothing is written then.
    [[ $COMMAND != doctor && $DRY_RUN == no ]] || [[ -w $ROOT ]] || return 0
    mkdir -p "$LOGS" 2>/dev/null || true
    [[ -w $LOGS ]] ||
        fail "$(shown "$BUILD") cannot be written; name another directory: ZAZEN_BUILD=DIR ./build.sh $COMMAND …"
    # Cargo's own target directory is in the checkout.
    if [[ ! -w $ROOT && ! ${CARGO_TARGET_DIR-} ]]; then
        export CARGO_TARGET_DIR=$BUILD/target
    fi
}

command_clean() {
    local part
    # Of a directory that somebody has named, only what is ours.
    for part in bench el2 guest guest-target image log own-pds pd target zcu102; do rm -rf "${BUILD:?}/$part"; done
    rm -f "$BUILD"/inspect.{json,dot,svg} "$BUILD/bench.json" "$BUILD/system.xml"
    [[ $BUILD != "$ROOT/build" ]] || rm -rf "$BUILD"
    [[ $CLEAN_ALL == no ]] || rm -rf "$ROOT/target" "$ROOT/guests/target" "$ROOT/pd/target"
    say "removed $(shown "$BUILD")/"
}
