#!/bin/bash
#
# test_harness.sh SERVER: is SERVER a right pool server?
# Exit status: 0 it is right, 1 it is not, 2 wrong usage.
#
# This is how nearly every such script begins: one client, one grep, and it works on the author's machine. It finds one
# mistake in a hundred, and now and then one that is not there. The steps below make a judge of it. Take them in this
# order; quest check --only T1 (T3, T4, ...) tells after each one how far you are.

server=$1 # STEP 0: no argument, two arguments, or not an executable file: usage on stderr, exit 2

# STEP 1 (T3): a folder of your own, by mktemp -d, and a trap that ends your server and removes the folder on EVERY way
# out: the last line, an exit in the middle, Ctrl-C, SIGTERM. End what you have started, by its number, and nobody else.

# STEP 2 (T5): any fixed port is somebody else's one day. Draw one; when the server ends with status 1, it was taken: draw
# another. And even if somebody listens there: is it your server? (/proc/net/tcp and /proc/PID/fd know.)
"$server" 9090 &

# STEP 3 (T1): a right server may need a second until it listens, or longer when the machine is busy. Do not guess how
# long: look, again and again, until it is ready, or has ended, or a deadline has passed.
sleep 0.1

# STEP 4 (T4): every one of these lines can wait for ever: connecting, reading, and later waiting for the server's end.
# Which of them have a deadline of their own, and how do you give one to the others?
exec 3<>/dev/tcp/127.0.0.1/9090
echo "hello" >&3
head -n 1 <&3 >answer.txt

# STEP 5 (T2): `result` anywhere in the line is not the contract. Compare whole lines: with the error's exact text, and with
# what the same request was answered before. Count a failure, and go on.
if grep -q result answer.txt; then
    echo "PASS  one client"
else
    echo "FAIL  one client"
    failed=yes
fi

# STEP 6 (T2): thirty clients at once, twenty good and ten bad. Then read the contract in quests/07-pool-server/README.md
# once more, with a pencil: every sentence of "What goes over the wire" and of R3 is a test that nobody has written yet.

# STEP 7 (T2): SIGTERM. Who is connected, and who has asked, when you send it? What do they still get? With which status
# does the server end? Can it be started again on the same port at once?
kill $!

if [ -n "$failed" ]; then exit 1; fi
