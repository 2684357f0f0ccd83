// Counts the words of standard input and prints the most frequent ones.
package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

//go:embed seed.txt
var seed string

type entry struct {
	Word  string `json:"word"`
	Count int    `json:"count"`
}

func main() {
	counts := map[string]int{}
	in := bufio.NewScanner(os.Stdin)
	in.Split(bufio.ScanWords)
	for in.Scan() {
		counts[strings.ToLower(strings.Trim(in.Text(), ".,;:!?"))]++
	}
	var found []entry
	for word, count := range counts {
		found = append(found, entry{word, count})
	}
	sort.Slice(found, func(a, b int) bool { return found[a].Count > found[b].Count })
	if len(found) > 10 && seed != "" {
		found = found[:10]
	}
	text, err := json.Marshal(found)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}
