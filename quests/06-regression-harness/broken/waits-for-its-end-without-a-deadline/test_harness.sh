#!/bin/bash
#
# test_harness.sh SERVER: is SERVER a right pool server? Talks to it like thirty clients, and then stops it.
# Exit status: 0 it is right, 1 it is not, 2 wrong usage.
#
# Three rules keep the verdict honest:
#   1. Whoever waits has a deadline: a server that hangs fails, and does not hang this script.
#   2. Nothing is expected "after a while". Either an event is waited for (an answer, the end of a connection, an exit
#      status), or the kernel is asked, in /proc, whether the situation that a test needs has come.
#   3. Every process is a child of this script, and every file is in $work: both are cleared away on every way out.
set -u
export LC_ALL=C # a length is a number of bytes
ulimit -c 0     # a server that crashes leaves no core file

if (($# != 1)) || [[ ! -f $1 || ! -x $1 ]]; then
    echo "usage: ${0##*/} SERVER    (an executable file)" >&2
    exit 2
fi
server=$1
[[ $server == */* ]] || server=./$server # without a slash bash would look for it in PATH

readonly PATIENCE=10 LAST=50 # seconds for one wait; and no wait goes on beyond that second of the script's life
readonly INVALID='ERROR: invalid input' ANY='any result'
failed=0 work='' pid='' port=''

clean_up() {
    trap '' HUP INT TERM
    kill -KILL $(jobs -p) # ends also a server that is deaf to SIGTERM, or that we have stopped
    wait
    rm -rf "$work"
} 2>/dev/null
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d) || exit 2

mkfifo "$work/never" || exit 2 # see nap

ended() { # PID SECONDS: waits for a child to end, and returns its exit status; 124 if it had to be killed
    local end=$((SECONDS + $2))
    while kill -0 "$1"; do
        ((SECONDS <= end && SECONDS <= LAST)) || { kill -KILL "$1" && wait "$1"; return 124; }
        sleep 0.02 # not `read -t`: when a trap exits in the middle of that, bash 5.2 may end without clean_up, or crash
    done
    wait "$1"
} 2>/dev/null # bash wants to tell about each child that was killed

# ---- starting ----

# Sets $listener, the number of the socket that listens on our port, and $unread: has something been sent to the server
# that it has not read yet, or has somebody come whom it has not accepted? A row of /proc/net/tcp: number, local
# address:port, remote address:port, state (0A: listens), unacknowledged:unread bytes, four others, socket. All in hex.
look() {
    local rows row column hex
    printf -v hex '%04X' "$port"
    listener='' unread=''
    mapfile -t rows </proc/net/tcp
    mapfile -t -O ${#rows[@]} rows </proc/net/tcp6 # not on every machine
    for row in "${rows[@]}"; do
        [[ $row == *:$hex\ * ]] || continue
        column=($row)
        [[ ${column[1]} == *:$hex && ${column[3]} == 0A ]] && listener=${column[9]}
        [[ ${column[1]} == *:$hex && ${column[4]} != *:00000000 ]] && unread=yes
        [[ ${column[2]} == *:$hex && ${column[4]} != 00000000:* ]] && unread=yes # still on its way
    done
    return 0
} 2>/dev/null

# Does *our* server listen? Whoever answers on the port may be somebody else, who was faster.
listens() { look && [[ -n $listener && $(readlink /proc/"$pid"/fd/*) == *"socket:[$listener]"* ]]; } 2>/dev/null

launch() { # WORKERS CAPACITY, on $port: 0 if it listens, 124 if that takes too long, otherwise how it ended
    local end=$((SECONDS + PATIENCE))
    "$server" "$port" "$@" </dev/null >/dev/null 2>&1 &
    pid=$!
    until listens; do
        if ! kill -0 "$pid" 2>/dev/null || ((SECONDS > end)); then
            ended "$pid" 0 && return 125 # it ended with 0, before it had begun
            return
        fi
        sleep 0.02
    done
}

# ---- asking: what follows, down to the verdicts, runs in a process of its own (see try) ----

wrong() { echo "$*"; exit 1; }
give_up() { echo "$*"; exit 3; } # it is gone, or does not speak: the other tests would only say the same

connect() { exec {fd}<>"/dev/tcp/127.0.0.1/$port" || give_up "cannot connect"; } # sets $fd

send() { printf '%b\n' "${@:2}" >&"$1" || wrong "it hung up before '${2:0:20}'"; } # FD LINE...; one write for each line

expect() { # FD ANSWER QUESTION: the next line of the server
    IFS= read -rt "$PATIENCE" -u "$1" line
    (($? <= 128)) || give_up "no answer to '${3:0:25}'"
    [[ $line == "$2" || $2 == "$ANY" && $line == 'result: '?* ]] ||
        wrong "'${line:0:40}' instead of '${2:0:40}', to '${3:0:25}'"
}

expect_end() { # FD WHEN: the server closes the connection
    IFS= read -rt "$PATIENCE" -u "$1" line
    (($? <= 128)) || wrong "the connection stays open after $2"
    [[ -z $line ]] || wrong "'${line:0:40}' instead of an end after $2"
}

ask() { send "$1" "$2" && expect "$1" "$3" "$2"; } # FD QUESTION ANSWER

# A moment between two looks, which is no process: here it could be left over. Nobody ever writes to this pipe.
nap() { read -rt 0.02 <>"$work/never"; }

all_read() {
    local end=$((SECONDS + PATIENCE))
    while look && [[ -n $unread ]]; do
        ((SECONDS <= end)) || give_up "it does not read what was sent"
        nap
    done
}

# ---- the tests ----

each_alone() { # what each good client is answered when it is the only one: the measure of all that follows
    for i in {1..20}; do
        connect
        ask "$fd" "good $i" "$ANY"
        echo "$line" >>"$work/alone"
        exec {fd}>&-
    done
}

thirty_at_once() { # all are connected, and all have asked, before the first answer is read
    for i in {1..30}; do connect; fds[i]=$fd; done
    for i in {1..20}; do send "${fds[i]}" "good $i"; done
    for i in {21..30}; do send "${fds[i]}" "bad $i"; done
    for i in {21..30}; do expect "${fds[i]}" "$INVALID" "bad $i"; done
    for i in {1..20}; do expect "${fds[i]}" "${alone[i]}" "good $i"; done
}

kinds_of_lines() {
    printf -v full '%01024d' 0
    connect
    for text in '' '\r' bad 'badger\r'; do ask "$fd" "$text" "$INVALID"; done
    for text in 'not bad' '\0bad' 'two\rparts' "$full" "$full\r"; do ask "$fd" "$text" "$ANY"; done
    for text in 'good 1' 'good 1\r'; do ask "$fd" "$text" "${alone[1]}"; done
}

line_too_long() {
    printf -v long '%01025d' 0
    connect
    send "$fd" 'good 1' "$long"
    expect "$fd" "${alone[1]}" 'good 1'
    expect "$fd" 'ERROR: line too long' '1025 bytes'
    expect_end "$fd" 'a line that is too long'
}

lines_in_one_packet() { # a server that has been stopped finds them all at once when it goes on
    connect
    ask "$fd" 'good 1' "${alone[1]}" # now it has been accepted
    kill -STOP "$pid"
    send "$fd" 'spin 100' # and while a worker is busy with this, the others fill the queue
    for i in {1..20}; do send "$fd" "good $i" "bad $i"; done
    kill -CONT "$pid"
    expect "$fd" "$ANY" 'spin 100'
    for i in {1..20}; do
        expect "$fd" "${alone[i]}" "good $i"
        expect "$fd" "$INVALID" "bad $i"
    done
}

line_in_two_pieces() { # and somebody else asks in between
    connect && slow=$fd
    printf 'go' >&"$slow" && all_read
    connect
    ask "$fd" 'bad' "$INVALID"
    ask "$slow" 'od 1' "${alone[1]}"
}

slow_and_quick() { # a server that does not know "spin" takes it for text like any other, and is right, too
    connect && slow=$fd
    send "$slow" 'spin 200' 'good 1' && all_read
    connect
    ask "$fd" 'good 2' "${alone[2]}"
    ask "$fd" 'bad' "$INVALID"
    expect "$slow" "$ANY" 'spin 200'
    expect "$slow" "${alone[1]}" 'good 1'
}

clients_vanish() {
    for i in {1..10}; do connect && ask "$fd" 'good 1' "${alone[1]}" && fds[i]=$fd; done
    kill -STOP "$pid" # they shall be gone before it answers: its second answer to each is a SIGPIPE
    for fd in "${fds[@]}"; do send "$fd" good good good good good && exec {fd}>&-; done
    kill -CONT "$pid"
    for i in {1..10}; do # to leave in the middle of an answer is a reset: ECONNRESET
        connect && send "$fd" 'good 1'
        read -rt "$PATIENCE" -N 1 -u "$fd" || give_up "no answer to 'good 1'"
        exec {fd}>&-
    done
    connect && ask "$fd" 'good 1' "${alone[1]}"
}

sigterm_with_work_left() { # what was read is answered; then everybody is let go, also who only sits there
    connect && idle=$fd && printf 'half a li' >&"$idle"
    for i in {1..4}; do connect && fds[i]=$fd; done
    for ms in 200 1000 2000; do # until both workers are busy with that; one that does not know "spin" never will be
        for i in 1 2; do send "${fds[i]}" "spin $ms"; done
        for i in {1..4}; do send "${fds[i]}" "good $i"; done
        all_read
        kill -STOP "$pid" # so that this cannot change any more
        read -t 0 -u "${fds[1]}" || read -t 0 -u "${fds[2]}" || break
        kill -CONT "$pid" # too late, they have been answered: once more, and longer
        for i in 1 2; do expect "${fds[i]}" "$ANY" "spin $ms"; done
        for i in {1..4}; do expect "${fds[i]}" "${alone[i]}" "good $i"; done
        ms=''
    done
    kill -TERM "$pid"
    kill -CONT "$pid"
    [[ -z $ms ]] || for i in 1 2; do expect "${fds[i]}" "$ANY" "spin $ms, and then SIGTERM"; done
    [[ -z $ms ]] || for i in {1..4}; do expect "${fds[i]}" "${alone[i]}" "good $i, and then SIGTERM"; done
    for fd in "${fds[@]}" "$idle"; do expect_end "$fd" 'SIGTERM'; done
}

# ---- verdicts ----

judge() { # NAME [WHAT IS WRONG]
    if [[ -z ${2-} ]]; then echo "PASS  $1"; else echo "FAIL  $1: $2"; failed=$((failed + 1)); fi
}

finish() { # [REMARK]
    if ((failed == 0)); then echo "right: it passes every test"; exit 0; fi
    echo "wrong: $failed failed${1-}"
    exit 1
}

status_is() { # NAME STATUS WANTED
    if (($2 == $3)); then judge "$1"; else judge "$1" "exit status $2 instead of $3"; fi
    (($2 != 124)) || finish ', and the rest was not tried'
}

try() { # FUNCTION, in a process of its own, which can be given up when the server hangs it
    (trap '' PIPE && "$1") >"$work/why" 2>/dev/null & # SIGPIPE: who writes to a server that hung up shall get an error
    ended $! $((2 * PATIENCE))
    local status=$?
    ((status == 0)) || [[ -s $work/why ]] || echo "it does not come to an end" >"$work/why"
    judge "${1//_/ }" "$(<"$work/why")"
    ((status <= 1)) || finish ', and the rest was not tried'
}

exits() { # NAME STATUS WORD ARGUMENTS...: cannot start, and says why, with this word
    "$server" "${@:4}" </dev/null >/dev/null 2>"$work/said" &
    ended $! "$PATIENCE"
    status_is "$1" $? "$2"
    [[ $(<"$work/said") == *"$3"* ]] || judge "$1" "stderr does not name $3"
}

# A server that ends with 1 says that its port is taken: so try another one. From 32768 on they are given to clients.
for attempt in 1 2 3 4 5; do
    port=$((10000 + RANDOM % 20000))
    launch 2 64
    status=$?
    ((status == 1)) || break
done
status_is 'it starts, and listens' "$status" 0
((status == 0)) || finish

try each_alone
((failed == 0)) || finish ', and the rest was not tried'
mapfile -t -O 1 alone <"$work/alone"
exits 'no PORT' 2 PORT
exits 'PORT too large' 2 PORT 65536
exits 'WORKERS no number' 2 WORKERS "$port" none
exits 'CAPACITY too small' 2 CAPACITY "$port" 4 0
exits 'port taken' 1 '' "$port"
for test in thirty_at_once kinds_of_lines line_too_long lines_in_one_packet line_in_two_pieces slow_and_quick \
    clients_vanish sigterm_with_work_left; do
    try "$test"
done
((failed == 0)) || kill -TERM "$pid" 2>/dev/null # the test may have given up before it came to that
wait "$pid"
status_is 'it ends after SIGTERM' $? 0

launch 1 1 # on the same port, from which its clients have just been sent away
status=$?
if ((status == 1)) && [[ -n $listener ]]; then
    echo "NOTE  somebody else has taken the port meanwhile; whether it can start again was not seen"
    finish
fi
status_is 'it starts again at once' "$status" 0
((status == 0)) || finish
try lines_in_one_packet # for a queue with room for one
kill -TERM "$pid" 2>/dev/null
wait "$pid"
status_is 'SIGTERM with nobody there' $? 0
finish
