#!/bin/bash
#
# checks.sh FOLDER [FILE]: R1 to R8 of quest 07, as far as a shell can look. FOLDER holds C sources; the verdicts go to
# FILE, or to standard output.
#
# Written for comparison: this is what one would write without the harness. It takes what a shell has (bash, coreutils,
# /proc, strace, valgrind), and where no event can be seen from outside it sleeps, because nothing else is left: until
# workers are busy, until a queue is full, until the loop has read what it will read. What it cannot do at all is named
# at each check. It prints a line for each: id, verdict, milliseconds, and how many of them were sleep.
set -u
export LC_ALL=C
ulimit -c 0

(($# == 1 || $# == 2)) && [[ -d $1 ]] || { echo "usage: ${0##*/} FOLDER [FILE]" >&2; exit 2; }
sources=$1
(($# == 2)) && exec >"$2"

# With this, nothing outlives this script, not even if it is killed.
bound=(setpriv --pdeathsig KILL)
"${bound[@]}" true 2>/dev/null || bound=()

# How long "by then it will have happened" is. Less fails on a busy machine.
readonly MOMENT=0.5 MOMENT_MS=500
readonly PATIENCE=20 # seconds to wait for an answer
pid='' port='' fds=() failed=0 slept=0 work=''

clean_up() {
    trap '' INT TERM
    kill -KILL $(jobs -p)
    wait
    rm -rf "$work"
} 2>/dev/null
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d) || exit 2

moment() { sleep "$MOMENT"; slept=$((slept + MOMENT_MS)); }

# ---- the server ----

launch() { # WORKERS CAPACITY [COMMAND...]: starts the server, below COMMAND if there is one
    port=$((10000 + RANDOM % 20000))
    again "$@"
}

again() { # the same, on the port of the last one
    "${bound[@]}" "${@:3}" "$work/pool_server" "$port" "$1" "$2" >/dev/null 2>&1 &
    pid=$!
    for _ in {1..300}; do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
        slept=$((slept + 100))
    done
    why='it does not listen'
    return 1
}

stop() { # SIGTERM; returns the exit status
    kill -TERM "${1:-$pid}" 2>/dev/null
    wait "$pid"
} 2>/dev/null

threads() { ls "/proc/$pid/task" | wc -l; }
cpu() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; } # in hundredths of a second

# How many of the server's sockets hold bytes that it has not read.
unread() {
    local hex
    printf -v hex '%04X' "$port"
    awk -v port=":$hex" '$2 ~ port "$" && $4 == "01" && $5 !~ /:00000000$/ { n++ } END { print n + 0 }' /proc/net/tcp
}

# ---- the clients ----

connect() { # N clients, in fds
    fds=()
    local fd n
    for ((n = 0; n < $1; n++)); do
        exec {fd}<>"/dev/tcp/127.0.0.1/$port" || { why='it does not accept'; return 1; }
        fds+=("$fd")
    done 2>/dev/null
}

hang_up() { for fd in "${fds[@]}"; do exec {fd}>&-; done; fds=(); }

say() { printf '%s\n' "${@:2}" >&"$1"; } # FD LINE...

hear() { # FD PATTERN: the next line
    IFS= read -rt "$PATIENCE" -u "$1" line || { why="no answer"; return 1; }
    [[ $line == $2 ]] || { why="'$line' instead of '$2'"; return 1; }
}

good() { printf 'request %03d %0*d' "$1" "$(($1 + 1))" 0; }
bad() { printf 'bad request %03d' "$1"; }
readonly RESULT='result: ?*' INVALID='ERROR: invalid input'

mixed() { # CLIENTS [LENGTH]: all at once, every third one with bad input; with LENGTH, good lines are nearly so long
    local n
    connect "$1" || return 1
    for ((n = 0; n < $1; n++)); do
        if ((n % 3 == 2)); then say "${fds[n]}" "$(bad "$n")"; else say "${fds[n]}" "$(good $((n + ${2:-0})))"; fi
    done
    for ((n = 0; n < $1; n++)); do
        if ((n % 3 == 2)); then hear "${fds[n]}" "$INVALID" || return 1
        else hear "${fds[n]}" "${alone[n]:-$RESULT}" || return 1; fi
    done
    hang_up
}

# ---- the checks ----

# That a worker is busy cannot be seen, so it is given much to compute. A spin takes longer than the moments below it.
R1() {
    for sizes in '4 8' '2 3'; do
        local workers=${sizes% *} capacity=${sizes#* }
        launch "$workers" "$capacity" || return 1
        connect $((workers + capacity + 16)) || return 1
        for fd in "${fds[@]:0:workers}"; do say "$fd" 'spin 1200'; done
        moment
        for fd in "${fds[@]:workers}"; do say "$fd" "$(good 7)"; done
        moment
        local taken=$((capacity + 16 - $(unread))) before
        ((taken >= capacity && taken <= capacity + 1)) || { why="$taken of $((capacity + 16)) taken"; return 1; }
        for fd in "${fds[@]}"; do hear "$fd" "$RESULT" || return 1; done
        hang_up
        before=$(cpu)
        moment
        (($(cpu) - before < 10)) || { why='it does not sleep'; return 1; }
        stop
    done
}

R2() {
    for workers in 3 6; do
        launch "$workers" 64 || return 1
        connect $((3 * workers)) || return 1
        say "${fds[0]}" "$(good 1)" && hear "${fds[0]}" "$RESULT" || return 1
        local counts
        counts=$(threads)
        for fd in "${fds[@]}"; do say "$fd" 'spin 50' "$(bad 1)"; done
        moment
        counts+=" $(threads)"
        for fd in "${fds[@]}"; do hear "$fd" "$RESULT" && hear "$fd" "$INVALID" || return 1; done
        moment
        counts+=" $(threads)"
        local wanted=$((workers + 1))
        [[ $counts == "$wanted $wanted $wanted" ]] || { why="threads: $counts"; return 1; }
        hang_up
        stop
    done
}

# Not looked at: whether the workers were joined.
R3() {
    launch 2 64 || return 1 # nobody there
    stop || { why="exit status $?"; return 1; }
    launch 2 64 || return 1 # tasks in hand and in the queue, and somebody who only sits there
    connect 7 || return 1
    for fd in "${fds[@]:0:2}"; do say "$fd" 'spin 1000'; done
    moment
    for fd in "${fds[@]:2:4}"; do say "$fd" "$(good 3)"; done
    moment
    kill -TERM "$pid"
    moment
    if (exec 3<>"/dev/tcp/127.0.0.1/$port" && echo x >&3 && read -rt 1 -u 3) 2>/dev/null; then
        why='somebody new was served'
        return 1
    fi
    for fd in "${fds[@]:0:6}"; do hear "$fd" "$RESULT" || return 1; done
    local asked=${EPOCHREALTIME/./}
    wait "$pid" || { why="exit status $?"; return 1; }
    ((${EPOCHREALTIME/./} - asked < 2000000)) || { why='more than 2 s'; return 1; }
    hang_up
    again 2 64 || return 1 # on the same port, at once
    connect 1 && say "${fds[0]}" "$(good 1)" && hear "${fds[0]}" "$RESULT" || return 1
    hang_up
    stop || { why="exit status $?"; return 1; }
    launch 2 64 || return 1 # a client that asks and asks, and does not read
    connect 1
    "${bound[@]}" yes "$(good 900)" >&"${fds[0]}" 2>/dev/null &
    local deaf=$!
    moment
    moment
    kill -TERM "$pid"
    for _ in {1..30}; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
        slept=$((slept + 100))
    done
    kill -0 "$pid" 2>/dev/null && { why='it waits for a client that does not read'; return 1; }
    kill "$deaf" 2>/dev/null
    hang_up
    return 0
}

# Who sends is seen in what strace writes down; that nobody is answered before a worker has run is not.
R4() {
    local calls=network,read,write,writev,eventfd,eventfd2,epoll_ctl
    launch 4 64 strace -f -qq -e trace="$calls" -o "$work/trace" "${bound[@]}" || return 1
    connect 6 || return 1
    for fd in "${fds[@]}"; do say "$fd" 'spin 20'; done
    for fd in "${fds[@]}"; do hear "$fd" "$RESULT" || return 1; done
    hang_up
    moment
    stop "$(pgrep -P "$pid")"
    why=$(awk '
        NR == 1 { main = $1 }
        / eventfd2?\(/ { bell = $NF }
        $1 != main && / (accept4?|recvfrom|recvmsg|sendto|sendmsg|shutdown)\(/ { print "a worker calls " $2; exit }
        $1 != main && bell != "" && index($0, " write(" bell ",") { rung++ }
        $1 == main && bell != "" && index($0, " read(" bell ",") { read++ }
        / epoll_ctl\(/ && index($0, "EPOLL_CTL_ADD, " bell ",") { watched = 1 }
        END { if (!rung || !read || !watched) print "rung " rung + 0 ", read " read + 0 ", watched " watched + 0 }
    ' "$work/trace" | head -n 1)
    [[ -z $why ]]
}

# In which order the workers finish is chosen by how long each task takes.
R5() {
    local n round
    launch 4 64 || return 1
    for round in {1..6}; do
        connect 4 || return 1
        for n in 0 1 2 3; do
            if (((n + round) % 2)); then say "${fds[n]}" "spin $((10 * ((n * round) % 5 + 1)))"
            else say "${fds[n]}" "$(bad "$n")"; fi
        done
        for n in 0 1 2 3; do
            if (((n + round) % 2)); then hear "${fds[n]}" "$RESULT" || return 1
            else hear "${fds[n]}" "$INVALID" || return 1; fi
            read -rt 0.05 -u "${fds[n]}" && { why='a second answer'; return 1; }
        done
        hang_up
    done
    stop || { why="exit status $?"; return 1; }
}

# The order of the answers is left to luck; more rounds, more luck.
R6() {
    local n
    launch 4 64 || return 1
    alone=()
    for ((n = 0; n < 30; n++)); do
        ((n % 3 == 2)) && continue
        connect 1 && say "${fds[0]}" "$(good "$n")" && hear "${fds[0]}" "$RESULT" || return 1
        alone[n]=$line
        hang_up
    done
    for round in {1..20}; do mixed 30 || return 1; done
    alone=()
    (($(threads) == 5)) || { why="$(threads) threads"; return 1; }
    stop || { why="exit status $?"; return 1; }
}

R7() {
    launch 4 64 strace -f -qq -e trace=poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,epoll_pwait2 \
        -o "$work/trace" "${bound[@]}" || return 1
    connect 4 || return 1
    for fd in "${fds[@]}"; do say "$fd" "$(good 1)" && hear "$fd" "$RESULT" || return 1; done
    local lines
    lines=$(wc -l <"$work/trace")
    moment
    moment
    lines=$(($(wc -l <"$work/trace") - lines))
    hang_up
    stop "$(pgrep -P "$pid")"
    ((lines < 200)) || { why="$lines waits in a second of idleness"; return 1; }
    grep -q epoll_ "$work/trace" || { why='no epoll_wait'; return 1; }
    if grep -Eq ' (poll|ppoll|select|pselect6)\(' "$work/trace"; then why='poll or select'; return 1; fi
}

R8() {
    local n round
    launch 4 64 valgrind --tool=helgrind --fair-sched=try --log-file="$work/helgrind" || return 1
    alone=()
    for n in 0 1 2 3; do
        connect 1 && say "${fds[0]}" "$(good "$n")" && hear "${fds[0]}" "$RESULT" || return 1
        hang_up
    done
    for round in 1 2 3; do mixed 30 && mixed 30 960 || return 1; done
    stop
    why=$(grep 'ERROR SUMMARY' "$work/helgrind")
    [[ $why == *': 0 errors from 0 contexts'* ]]
}

# ---- all of it ----

gcc -Wall -Wextra -Werror -pthread -g -o "$work/pool_server" "$sources"/*.c || exit 3
for check in R1 R2 R3 R4 R5 R6 R7 R8; do
    why='' slept=0
    begin=${EPOCHREALTIME/./}
    if $check; then verdict=pass; else verdict=fail failed=1; fi
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    echo "$check $verdict $took $slept${why:+ $why}"
    for job in $(jobs -p); do kill -KILL "$job"; wait "$job"; done 2>/dev/null
done
exit "$failed"
