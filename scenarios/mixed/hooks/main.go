// The hook receiver: gives every delivery an id and prints it.
package main

import (
	"io"
	"log"
	"net/http"

	"github.com/google/uuid"
)

func receive(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	log.Printf("%s %s %d bytes", id, r.Header.Get("X-Event"), len(body))
	io.WriteString(w, id)
}

func main() {
	http.HandleFunc("POST /", receive)
	log.Fatal(http.ListenAndServe(":9000", nil))
}
