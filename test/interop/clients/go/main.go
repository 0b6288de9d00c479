// Sends numbered records with the Go client, the library inside Docker's driver:
// client tcp|tls|unix ADDRESS TAG COUNT [ack|json]; ADDRESS is a port of 127.0.0.1 or the path of a socket.
package main

import (
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func main() {
	network, address, tag := os.Args[1], os.Args[2], os.Args[3]
	count, _ := strconv.Atoi(os.Args[4])
	form := ""
	if len(os.Args) > 5 {
		form = os.Args[5]
	}
	config := fluent.Config{
		FluentNetwork:         network,
		FluentHost:            "127.0.0.1",
		TlsInsecureSkipVerify: true,
		RequestAck:            form == "ack",
		MarshalAsJSON:         form == "json",
		SubSecondPrecision:    form != "json",
	}
	if network == "unix" {
		config.FluentSocketPath = address
	} else {
		config.FluentPort, _ = strconv.Atoi(address)
	}
	logger, err := fluent.New(config)
	if err != nil {
		fail(err)
	}
	for seq := 0; seq < count; seq++ {
		record := map[string]interface{}{
			"seq": seq, "text": "héllo 😀", "real": 1.5, "flag": true, "none": nil,
			"big": uint64(math.MaxUint64), "small": int64(math.MinInt64),
			"list": []interface{}{1, "two"}, "map": map[string]interface{}{"a": true},
		}
		if form != "json" {
			record["bytes"] = []byte("raw")
		}
		if err := logger.Post(tag, record); err != nil {
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
