// A client made of nothing but Debian's ttrpc for Go and what its generator makes of the daemon's schema. It makes one of
// its checks against a daemon and exits 0, or says what is wrong.
//
//	client SOCKET CHECK [ARGUMENT...]
//	client -                  lists the checks that need only a daemon
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	pb "tidewaiter/v1"
)

// Bounds a check that hangs; none takes a fraction of it.
const patience = 60 * time.Second

// Needs a daemon whose integration "there" exists.
var checks = map[string]func(*daemon) error{
	"echo":                 echo,
	"typed-answers":        typedAnswers,
	"status-and-details":   statusAndDetails,
	"field-violations":     fieldViolations,
	"unknown-names":        unknownNames,
	"oversized-request":    oversizedRequest,
	"metadata":             metadata,
	"deadline-ahead":       deadlineAhead,
	"deadline-over":        deadlineOver,
	"stream-without-flags": streamWithoutFlags,
	"many-at-once":         manyAtOnce,
}

// Need more of a daemon: see each.
var guided = map[string]func(*daemon) error{
	"print-status":     printStatus,
	"deadline":         deadline,
	"closed-by-client": closedByClient,
	"closed-by-daemon": closedByDaemon,
}

type daemon struct {
	client       *ttrpc.Client
	system       pb.SystemService
	integrations pb.IntegrationsService
	closed       chan struct{}
	arguments    []string
}

func main() {
	if len(os.Args) == 2 {
		var names []string
		for name := range checks {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Println(strings.Join(names, "\n"))
		return
	}
	check := checks[os.Args[2]]
	if check == nil {
		check = guided[os.Args[2]]
	}
	if check == nil {
		fail(fmt.Errorf("no check is called %s", os.Args[2]))
	}
	time.AfterFunc(patience, func() { fail(fmt.Errorf("nothing came of it within %s", patience)) })
	connection, err := net.Dial("unix", os.Args[1])
	if err != nil {
		fail(err)
	}
	closed := make(chan struct{})
	client := ttrpc.NewClient(connection, ttrpc.WithOnClose(func() { close(closed) }))
	if err := check(&daemon{
		client, pb.NewSystemClient(client), pb.NewIntegrationsClient(client), closed, os.Args[3:]}); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

var background = context.Background()

// expect is nil for a status with the code and, in its message, the text.
func expect(err error, code codes.Code, text string) error {
	if got, ok := status.FromError(err); err == nil || !ok || got.Code() != code || !strings.Contains(got.Message(), text) {
		return fmt.Errorf("expected %s with %q, got %v", code, text, err)
	}
	return nil
}

func (d *daemon) ping(ctx context.Context, payload []byte) error {
	answer, err := d.system.Ping(ctx, &pb.PingRequest{Payload: payload})
	if err != nil {
		return err
	}
	if !bytes.Equal(answer.Payload, payload) {
		return fmt.Errorf("a ping of %d bytes is answered by %d others", len(payload), len(answer.Payload))
	}
	return nil
}

func echo(d *daemon) error {
	for _, size := range []int{0, 1, 100, 65_536, 4<<20 - 64} {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(i * 7)
		}
		if err := d.ping(background, payload); err != nil {
			return err
		}
	}
	return nil
}

func typedAnswers(d *daemon) error {
	version, err := d.system.GetVersion(background, &pb.GetVersionRequest{})
	if err != nil || !strings.HasPrefix(version.Protocol, "ttrpc 1.") || version.Version == "" {
		return fmt.Errorf("the version: %v %v", version, err)
	}
	there, err := d.integrations.GetIntegration(background, &pb.GetIntegrationRequest{Name: "there"})
	if err != nil || there.Type != "docker-registry" || there.CreatedAt.GetSeconds() == 0 {
		return fmt.Errorf("the integration: %v %v", there, err)
	}
	return nil
}

func statusAndDetails(d *daemon) error {
	_, err := d.integrations.GetIntegration(background, &pb.GetIntegrationRequest{Name: "absent"})
	if wrong := expect(err, codes.NotFound, "absent"); wrong != nil {
		return wrong
	}
	var reason, hint string
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.Reason
		case *errdetails.Help:
			hint = detail.Links[0].Description
		}
	}
	if reason == "" || hint == "" {
		return fmt.Errorf("no reason or no hint in the details: %v", status.Convert(err).Details())
	}
	return d.ping(background, []byte("still there"))
}

func fieldViolations(d *daemon) error {
	_, err := d.integrations.CreateIntegration(background, &pb.CreateIntegrationRequest{
		Integration: &pb.Integration{Name: "Not A Name", Type: "docker-registry", Url: "http://127.0.0.1:1"}})
	if wrong := expect(err, codes.InvalidArgument, "name"); wrong != nil {
		return wrong
	}
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok && strings.Contains(bad.FieldViolations[0].Field, "name") {
			return nil
		}
	}
	return fmt.Errorf("no violation names the field: %v", status.Convert(err).Details())
}

func unknownNames(d *daemon) error {
	call := func(service, method string) error {
		return d.client.Call(background, service, method, &pb.PingRequest{}, &pb.PingResponse{})
	}
	if wrong := expect(call("tidewaiter.v1.System", "Nope"), codes.Unimplemented, "method Nope"); wrong != nil {
		return wrong
	}
	if wrong := expect(call("no.Such", "Ping"), codes.Unimplemented, "service no.Such"); wrong != nil {
		return wrong
	}
	return d.ping(background, []byte("still there"))
}

func oversizedRequest(d *daemon) error {
	for _, size := range []int{4 << 20, 9 << 20} {
		if wrong := expect(d.ping(background, make([]byte, size)), codes.ResourceExhausted, "limit"); wrong != nil {
			return wrong
		}
		if err := d.ping(background, []byte("still there")); err != nil {
			return err
		}
	}
	return nil
}

func metadata(d *daemon) error {
	ctx := ttrpc.WithMetadata(background, ttrpc.MD{"caller": {"from-go"}, "twice": {"one", "two"}, "empty": {""}})
	if err := d.ping(ctx, []byte("with metadata")); err != nil {
		return err
	}
	many := ttrpc.MD{}
	for i := 0; i < 50; i++ {
		many.Set(fmt.Sprintf("key-%d", i), "some value", "and another")
	}
	return d.ping(ttrpc.WithMetadata(background, many), []byte("with much metadata"))
}

func deadlineAhead(d *daemon) error {
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	return d.ping(ctx, []byte("in time"))
}

// A deadline that is sent and not watched on this side: what comes of it is the daemon's own answer.
type sentDeadline struct {
	context.Context
	at time.Time
}

func (s sentDeadline) Deadline() (time.Time, bool) { return s.at, true }

func deadlineOver(d *daemon) error {
	_, err := d.system.Ping(sentDeadline{background, time.Now().Add(-time.Second)}, &pb.PingRequest{})
	if wrong := expect(err, codes.DeadlineExceeded, "deadline"); wrong != nil {
		return wrong
	}
	return d.ping(background, []byte("still there"))
}

// deadline wants an integration whose registry never answers, by name.
func deadline(d *daemon) error {
	request := &pb.TestIntegrationRequest{Name: d.arguments[0]}
	_, err := d.integrations.TestIntegration(sentDeadline{background, time.Now().Add(300 * time.Millisecond)}, request)
	if wrong := expect(err, codes.DeadlineExceeded, "deadline"); wrong != nil {
		return wrong
	}
	// Watched here as well, the call ends on this side; the daemon's late answer to it is dropped.
	ctx, cancel := context.WithTimeout(background, 300*time.Millisecond)
	defer cancel()
	if _, err = d.integrations.TestIntegration(ctx, request); err == nil {
		return errors.New("a call outlived its context")
	}
	return d.ping(background, []byte("still there"))
}

func streamWithoutFlags(d *daemon) error {
	// To this version of ttrpc every method is unary; a streaming one must refuse it in a way that it can read.
	_, err := d.system.WatchEvents(background, &pb.WatchEventsRequest{})
	if wrong := expect(err, codes.InvalidArgument, "streams its answers"); wrong != nil {
		return wrong
	}
	return d.ping(background, []byte("still there"))
}

func manyAtOnce(d *daemon) error {
	const callers, calls = 50, 100
	results := make(chan error, callers)
	var group sync.WaitGroup
	for caller := 0; caller < callers; caller++ {
		group.Add(1)
		go func(caller int) {
			defer group.Done()
			for call := 0; call < calls; call++ {
				if err := d.ping(background, bytes.Repeat([]byte{byte(caller)}, caller*call)); err != nil {
					results <- err
					return
				}
			}
		}(caller)
	}
	group.Wait()
	close(results)
	return <-results
}

// closedByClient wants an integration whose registry never answers. It says that the call is in flight, and ends the
// connection when it is told on standard input.
func closedByClient(d *daemon) error {
	result := make(chan error)
	go func() {
		_, err := d.integrations.TestIntegration(background, &pb.TestIntegrationRequest{Name: d.arguments[0]})
		result <- err
	}()
	if err := d.ping(background, []byte("another call passes it")); err != nil {
		return err
	}
	fmt.Println("in flight")
	os.Stdin.Read(make([]byte, 1))
	d.client.Close()
	if err := <-result; !errors.Is(err, ttrpc.ErrClosed) {
		return fmt.Errorf("the call in flight ended with %v", err)
	}
	return nil
}

// closedByDaemon says that it is connected, and waits for the daemon to end the connection.
func closedByDaemon(d *daemon) error {
	if err := d.ping(background, []byte("connected")); err != nil {
		return err
	}
	fmt.Println("connected")
	<-d.closed
	if _, err := d.system.Ping(background, &pb.PingRequest{}); !errors.Is(err, ttrpc.ErrClosed) {
		return fmt.Errorf("a call on a closed connection ended with %v", err)
	}
	return nil
}

func printStatus(d *daemon) error {
	answer, err := d.system.GetStatus(background, &pb.GetStatusRequest{})
	if err == nil {
		fmt.Println(answer.Version, answer.Integrations, answer.Images)
	}
	return err
}
