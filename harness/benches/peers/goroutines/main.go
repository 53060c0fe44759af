// A goroutine for each connection, which computes by itself: Go's own scheduler spreads them over the processors, so
// the number of workers is not used. Answers are flushed when no more of what has arrived is waiting.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
)

const rounds = 64
const hexDigits = "0123456789abcdef"

func appendAnswer(out []byte, line []byte) []byte {
	if len(line) == 0 || bytes.HasPrefix(line, []byte("bad")) {
		return append(out, "ERROR: invalid input\n"...)
	}
	hash := uint64(0xcbf29ce484222325)
	for round := 0; round < rounds; round++ {
		for _, b := range line {
			hash = (hash ^ uint64(b)) * 0x100000001b3
		}
	}
	out = append(out, "result: "...)
	for shift := 60; shift >= 0; shift -= 4 {
		out = append(out, hexDigits[hash>>uint(shift)&15])
	}
	return append(out, '\n')
}

func serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 4096)
	out := make([]byte, 0, 64)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		out = appendAnswer(out, bytes.TrimSuffix(line[:len(line)-1], []byte("\r")))
		if reader.Buffered() == 0 {
			if _, err := connection.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: PORT WORKERS")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(connection)
	}
}
