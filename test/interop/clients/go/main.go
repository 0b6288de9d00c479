// Sends numbered records with the Go client, the library inside Docker's driver: client HOST PORT COUNT [ack]
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func main() {
	port, _ := strconv.Atoi(os.Args[2])
	count, _ := strconv.Atoi(os.Args[3])
	acks := len(os.Args) > 4
	logger, err := fluent.New(fluent.Config{
		FluentHost:         os.Args[1],
		FluentPort:         port,
		RequestAck:         acks,
		SubSecondPrecision: true,
	})
	if err != nil {
		fail(err)
	}
	for seq := 0; seq < count; seq++ {
		record := map[string]interface{}{"seq": seq, "text": "héllo 😀", "real": 1.5, "bytes": []byte("raw"), "flag": true}
		if err := logger.Post("go.app", record); err != nil {
			fail(err)
		}
	}
	if err := logger.Close(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
