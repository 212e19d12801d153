// The library that Centrifugo is made of, with the delay of writes that its PRO edition alone sets. Arguments: port, secret.
package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/cristalhq/jwt/v5"
)

const (
	writeDelay  = 25 * time.Millisecond
	historySize = 500
	historyTTL  = 24 * time.Hour
)

type claims struct {
	jwt.RegisteredClaims
	UserID int64 `json:"user_id"`
}

func connecting(verifier jwt.Verifier) centrifuge.ConnectingHandler {
	return func(_ context.Context, event centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		token, err := jwt.Parse([]byte(event.Token), verifier)
		if err != nil {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		var found claims
		if err := json.Unmarshal(token.Claims(), &found); err != nil || !found.IsValidAt(time.Now()) {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		credentials := &centrifuge.Credentials{
			UserID:   strconv.FormatInt(found.UserID, 10),
			ExpireAt: found.ExpiresAt.Unix(),
		}
		return centrifuge.ConnectReply{Credentials: credentials, WriteDelay: writeDelay, WriteWithTimer: true}, nil
	}
}

func subscribed(event centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
	tellsWhoComes := strings.HasPrefix(event.Channel, "room:")
	answer(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{
		EnableRecovery: true,
		EmitPresence:   tellsWhoComes,
		EmitJoinLeave:  tellsWhoComes,
		PushJoinLeave:  tellsWhoComes,
	}}, nil)
}

func published(event centrifuge.PublishEvent, answer centrifuge.PublishCallback) {
	answer(centrifuge.PublishReply{Options: centrifuge.PublishOptions{
		HistorySize: historySize,
		HistoryTTL:  historyTTL,
		ClientInfo:  event.ClientInfo,
	}}, nil)
}

func main() {
	verifier, err := jwt.NewVerifierHS(jwt.HS256, []byte(os.Args[2]))
	if err != nil {
		log.Fatal(err)
	}
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(connecting(verifier))
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(subscribed)
		client.OnPublish(published)
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	pings := centrifuge.PingPongConfig{PingInterval: time.Minute, PongTimeout: 30 * time.Second}
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{PingPongConfig: pings}))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
