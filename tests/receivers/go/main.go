// verify SECRET ID TIMESTAMP SIGNATURE < body: ends with 0 if the request is genuine, else 1.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	headers := http.Header{}
	headers.Set("webhook-id", os.Args[2])
	headers.Set("webhook-timestamp", os.Args[3])
	headers.Set("webhook-signature", os.Args[4])
	body, err := io.ReadAll(os.Stdin)
	if err == nil {
		var webhook *standardwebhooks.Webhook
		if webhook, err = standardwebhooks.NewWebhook(os.Args[1]); err == nil {
			err = webhook.Verify(body, headers)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
