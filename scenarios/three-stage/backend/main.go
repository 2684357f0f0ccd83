// The ticket server: hands out tickets and serves the built pages.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"

	"github.com/google/uuid"
)

func main() {
	www := flag.String("www", "www", "folder of the built pages")
	address := flag.String("listen", ":8080", "address to listen on")
	flag.Parse()

	http.HandleFunc("POST /ticket", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, uuid.NewString())
	})
	http.Handle("/", http.FileServer(http.Dir(*www)))
	log.Fatal(http.ListenAndServe(*address, nil))
}
