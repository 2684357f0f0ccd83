package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience bounds every wait for the control server: a replay that has died must leave no step behind that waits for ever.
const patience = 10 * time.Second

// told is what the control server says of this execution.
type told struct {
	factor float64
	exit   int
}

func dial(s *spec, question string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", s.control, patience)
	if err != nil {
		return nil, fmt.Errorf("the control server does not answer: %w", err)
	}
	if err = conn.SetDeadline(time.Now().Add(patience)); err == nil {
		_, err = io.WriteString(conn, question)
	}
	return conn, err
}

// ask tells the control server who runs, and learns by which factor the amounts differ and whether it fails:
// "run OP KEY" is answered by "FACTOR EXIT".
func ask(s *spec, k key) (told, error) {
	conn, err := dial(s, fmt.Sprintf("run %s %s\n", s.op, k.text()))
	if err != nil {
		return told{}, err
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return told{}, fmt.Errorf("the control server's answer: %w", err)
	}
	var answer told
	if _, err := fmt.Sscan(strings.TrimSpace(line), &answer.factor, &answer.exit); err != nil {
		return told{}, fmt.Errorf("the control server's answer %q: %w", line, err)
	}
	return answer, nil
}

// download takes bytes from the control server: "get BYTES".
func download(s *spec) error {
	if s.download <= 0 {
		return nil
	}
	conn, err := dial(s, "get "+strconv.FormatInt(s.download, 10)+"\n")
	if err != nil {
		return err
	}
	defer conn.Close()
	buffer := make([]byte, 256<<10)
	for left := s.download; left > 0; {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		n, err := conn.Read(buffer)
		left -= int64(n)
		if err != nil && left > 0 {
			return fmt.Errorf("the download broke off with %d bytes to go: %w", left, err)
		}
	}
	return nil
}
