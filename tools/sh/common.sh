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

# Names of the steps that the command will take, in order, as far as they are known before.
PLAN=()

# "2 of 5, NAME" for a planned step, else NAME.
numbered() {
    local i
    for i in "${!PLAN[@]}"; do
        [[ ${PLAN[i]} != "$1" ]] || { printf '%d of %d, %s' $((i + 1)) ${#PLAN[@]} "$1" && return; }
    done
    printf '%s' "$1"
}

# step NAME COMMAND...: runs it with its output in build/log/NAME.log. Quiet when it is quick; a
# line with the time it took when not, meanwhile how far it is (a line every ten seconds; on a
# terminal one line that is written anew each second); the log's end when it fails.
#
# COMMAND may be a function of several commands; it then says `|| return` itself. Bash does not stop
# at an error (set -e) in anything that is called on the left of `||`, as steps are.
step() {
    local name shown_name log=$LOGS/${1//[^A-Za-z0-9._-]/-}.log start=$SECONDS status=0 pid told=0
    local interval=9
    [[ ! -t 2 ]] || interval=1
    name=$1
    shown_name=$(numbered "$1")
    shift
    # Nobody may hold the lock longer than this command.
    "$@" >"$log" 2>&1 </dev/null 9>&- &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.1
        if ((SECONDS - start >= told + interval)); then
            told=$((SECONDS - start))
            tell_progress "  $shown_name: $told s so far$(last_line "$log")"
        fi
    done
    [[ ! -t 2 ]] || tell_progress ""
    wait "$pid" || status=$?
    if ((status)); then
        tail -n 30 "$log" >&2
        explain_network "$log"
        say "build.sh: '$name' failed with status $status after $((SECONDS - start)) s; whole log: $(shown "$log")"
        return "$status"
    fi
    ((SECONDS - start < 2)) || say "  $shown_name: $((SECONDS - start)) s"
}

# Says $1, which the next call replaces on a terminal; "" takes it away there.
tell_progress() {
    [[ -t 2 ]] || { say "$1" && return; }
    local columns
    columns=$(stty size <&2 2>/dev/null | cut -d ' ' -f 2)
    printf '\r\033[K%.*s' "$((${columns:-80} - 1))" "$1" >&2
}

# The last line of log $1 that says something, at most 80 characters of it behind ": "; nothing
# where there is none.
last_line() {
    tail -n 5 "$1" | tr '\r' '\n' | sed -E 's/^ +//; /^$/d; s/^/: /' | tail -n 1 | cut -c -82
}

# What a log says of a network that is not there: git, curl, cargo and apt each in their words.
NETWORK='failure resolving|failed to fetch|could(n.t| not) resolve|name resolution|network is unreachable|connection (refused|timed out|reset)|failed to connect|could(n.t| not) connect|spurious network error|unable to access'

# Names the network where log $1 shows that it was not reached.
explain_network() {
    grep -qiE "$NETWORK" "$1" || return 0
    say 'build.sh: the network was not reached. A first build fetches'
    say '  Rust crates from crates.io, about 30 MB (index.crates.io, static.crates.io),'
    say "  Debian's arm64 kernel and busybox, about 70 MB, from the sources of this machine's apt, for domains files that name them,"
    say '  and for Microkit crates of seL4 from github.com, about 60 MB;'
    say '  later ones need no network. Behind a proxy set https_proxy; ZAZEN_KERNEL and ZAZEN_INITRD replace what comes from Debian.'
}

# Whether this command holds the lock on what is built, as file descriptor 9; programs that it
# starts do not get that.
LOCKED=no

# Waits until no other build.sh works in the same build directory, then keeps them out until this
# command ends or gives the lock up.
#
# A command that is called by another (boot tests do) works under its lock, which the environment
# tells it of.
lock_build() {
    [[ ${ZAZEN_LOCKED-} != "$BUILD" ]] || return 0
    have flock || return 0
    local file=$BUILD/lock told=0 start=$SECONDS
    while :; do
        exec 9>>"$file"
        while ! flock -n 9; do
            if ((told == 0 || SECONDS - start >= told)); then
                say "  waiting for $(<"$file"), which works in $(shown "$BUILD"): $((SECONDS - start)) s (ZAZEN_BUILD=DIR names another directory)"
                told=$((SECONDS - start + 9))
            fi
            sleep 0.2
        done
        # `clean` may have removed it in the meantime.
        [[ $file -ef /dev/fd/9 ]] && break
        exec 9>&-
    done
    printf './build.sh %s, process %d' "$COMMAND" $$ >"$file"
    LOCKED=yes
    export ZAZEN_LOCKED=$BUILD
}

# Lets others build: what follows only reads.
unlock_build() {
    [[ $LOCKED == yes ]] || return 0
    exec 9>&-
    LOCKED=no
    unset ZAZEN_LOCKED
}

# A file's size as a person reads it.
size_of() {
    du -hL --apparent-size "$1" | cut -f1
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
    for part in bench domains el2 guest guest-target image log own-pds pd target "${BOARDS[@]}"; do rm -rf "${BUILD:?}/$part"; done
    rm -f "$BUILD"/inspect.{json,dot,svg} "$BUILD/bench.json" "$BUILD/system.xml" "$BUILD/lock"
    [[ $BUILD != "$ROOT/build" ]] || rm -rf "$BUILD"
    [[ $CLEAN_ALL == no ]] || rm -rf "$ROOT/target" "$ROOT/guests/target" "$ROOT/pd/target"
    say "removed $(shown "$BUILD")/"
}
