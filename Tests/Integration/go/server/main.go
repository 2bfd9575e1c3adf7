// A server made of nothing but Debian's ttrpc for Go: it answers some of the daemon's methods, so that tests can see this
// project's client with a peer of other make. It tells what each call brought, as lines of JSON.
//
//	server SOCKET
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/golang/protobuf/proto"
	"github.com/golang/protobuf/ptypes/timestamp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	pb "tidewaiter/v1"
)

// More than one page of integrations, and more than one read of a socket.
const (
	integrations = 1200
	pageSize     = 500
)

type call struct {
	Method   string
	Seconds  float64 // until the deadline; 0 without one
	Metadata ttrpc.MD
}

// A method in the shape that the server wants, with `answer` typed.
func method[Request any](name string, answer func(context.Context, *Request) (proto.Message, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		request := new(Request)
		if err := unmarshal(request); err != nil {
			return nil, err
		}
		told := call{Method: name}
		if deadline, ok := ctx.Deadline(); ok {
			told.Seconds = time.Until(deadline).Seconds()
		}
		told.Metadata, _ = ttrpc.GetMetadata(ctx)
		line, err := json.Marshal(told)
		if err != nil {
			return nil, err
		}
		fmt.Println(string(line))
		return answer(ctx, request)
	}
}

func ping(_ context.Context, request *pb.PingRequest) (proto.Message, error) {
	return &pb.PingResponse{Payload: request.Payload}, nil
}

func version(context.Context, *pb.GetVersionRequest) (proto.Message, error) {
	return &pb.Version{Version: "9.8.7", Commit: "60606060", Protocol: "ttrpc 1.1, tidewaiter.v1", SchemaVersion: 3}, nil
}

func systemStatus(context.Context, *pb.GetStatusRequest) (proto.Message, error) {
	return &pb.Status{Version: "9.8.7", StartedAt: &timestamp.Timestamp{Seconds: 1_700_000_000}, Integrations: integrations,
		StateDirectory: "/of/another/make", StoreBytesLimit: 1 << 30,
		Problems: []*pb.Problem{{Message: "it is written in Go", Hint: "none is needed"}}}, nil
}

func integration(number int) *pb.Integration {
	return &pb.Integration{Name: fmt.Sprintf("number-%04d", number), Type: "docker-registry", Url: "http://127.0.0.1:1",
		Mode: pb.Mode_MODE_MANUAL, Description: strings.Repeat("ü", 200)}
}

func list(_ context.Context, request *pb.ListIntegrationsRequest) (proto.Message, error) {
	first, answer := 0, &pb.ListIntegrationsResponse{}
	if request.PageToken != "" {
		if _, err := fmt.Sscan(request.PageToken, &first); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	for number := first; number < integrations && number < first+pageSize; number++ {
		answer.Integrations = append(answer.Integrations, integration(number))
	}
	if first+pageSize < integrations {
		answer.NextPageToken = fmt.Sprint(first + pageSize)
	}
	return answer, nil
}

// What is asked for by name is how the call ends.
func get(ctx context.Context, request *pb.GetIntegrationRequest) (proto.Message, error) {
	switch request.Name {
	case "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	case "plain-error":
		return nil, fmt.Errorf("an error without a status")
	case "oversized":
		return &pb.Integration{Name: "oversized", Description: strings.Repeat("x", 5<<20)}, nil
	case "dies":
		os.Exit(0)
	}
	refusal, err := status.New(codes.NotFound, "no integration is called "+request.Name).WithDetails(
		&errdetails.ErrorInfo{Reason: "GO_SAYS_NO", Domain: "tidewaiter"},
		&errdetails.Help{Links: []*errdetails.Help_Link{{Description: "ask for another one"}}})
	if err != nil {
		return nil, err
	}
	return nil, refusal.Err()
}

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err == nil {
		var server *ttrpc.Server
		if server, err = ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser())); err == nil {
			server.Register("tidewaiter.v1.System", map[string]ttrpc.Method{
				"Ping":       method("Ping", ping),
				"GetVersion": method("GetVersion", version),
				"GetStatus":  method("GetStatus", systemStatus),
			})
			server.Register("tidewaiter.v1.Integrations", map[string]ttrpc.Method{
				"ListIntegrations": method("ListIntegrations", list),
				"GetIntegration":   method("GetIntegration", get),
			})
			err = server.Serve(context.Background(), listener)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
