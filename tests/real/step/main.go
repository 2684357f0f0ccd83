// What the steps of these tests do: `step sleep SECONDS`, `step burn SECONDS`, `step hold BYTES SECONDS`,
// `step write FILE BYTES`. Static, so that `FROM scratch` is base enough.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func number(at int) float64 {
	value, err := strconv.ParseFloat(os.Args[at], 64)
	if err != nil {
		panic(err)
	}
	return value
}

func seconds(at int) time.Duration {
	return time.Duration(number(at) * float64(time.Second))
}

func main() {
	switch os.Args[1] {
	case "sleep":
		time.Sleep(seconds(2))
	case "burn":
		for end := time.Now().Add(seconds(2)); time.Now().Before(end); {
		}
	case "hold":
		held := make([]byte, int(number(2)))
		for at := 0; at < len(held); at += 4096 {
			held[at] = 1
		}
		time.Sleep(seconds(3))
		fmt.Println(held[0])
	case "write":
		if err := os.WriteFile(os.Args[2], make([]byte, int(number(3))), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}
