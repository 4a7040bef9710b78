package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// checkSDSClient asks as go-control-plane's types and grpc-go do: what Envoy never does, too.
func checkSDSClient(ctx context.Context, report *report, b *bank) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	connection, err := grpc.NewClient("unix:"+b.grpcSocket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		report.record("go-control-plane", err)
		return
	}
	defer connection.Close()
	client := secret.NewSecretDiscoveryServiceClient(connection)
	report.record("go-control-plane: each Secret binds CAs to names and is valid by its own rules", secretsAreValid(ctx, client, b))
	report.record("go-control-plane: a NACK is counted and not answered, a new list is", nackIsCounted(ctx, client, b))
	report.record("go-control-plane: an unknown name ends the stream with InvalidArgument", unknownEnds(ctx, client))
	report.record("go-control-plane: an unknown name is removed_resources in the incremental protocol", unknownIsRemoved(ctx, client))
}

// named are the contents of Secrets: the names of their domains.
func named(resources []*anypb.Any) (map[string]string, error) {
	all := map[string]string{}
	for _, resource := range resources {
		var found tls.Secret
		if err := resource.UnmarshalTo(&found); err != nil {
			return nil, err
		}
		custom := found.GetValidationContext().GetCustomValidatorConfig()
		var config tls.SPIFFECertValidatorConfig
		if err := errors.Join(found.ValidateAll(), custom.GetTypedConfig().UnmarshalTo(&config), config.ValidateAll()); err != nil {
			return nil, err
		}
		if custom.GetName() != "envoy.tls.cert_validator.spiffe" || found.GetValidationContext().GetTrustedCa() != nil {
			return nil, fmt.Errorf("%s is no SPIFFE validator", found.GetName())
		}
		var domains []string
		for _, domain := range config.GetTrustDomains() {
			if !strings.HasPrefix(domain.GetTrustBundle().GetInlineString(), "-----BEGIN CERTIFICATE-----") {
				return nil, fmt.Errorf("%s has no certificates", domain.GetName())
			}
			domains = append(domains, domain.GetName())
		}
		all[found.GetName()] = strings.Join(domains, " ")
	}
	return all, nil
}

func secretsAreValid(ctx context.Context, client secret.SecretDiscoveryServiceClient, b *bank) error {
	names := []string{"ROOTCA", "ALL", "spiffe://bank-b.example", "spiffe://bank-a.example"}
	response, err := client.FetchSecrets(ctx, &discovery.DiscoveryRequest{ResourceNames: names})
	if err != nil {
		return err
	}
	found, err := named(response.GetResources())
	return errors.Join(err,
		differ("Secrets", len(found), 4),
		differ("ROOTCA", found["ROOTCA"], "bank-a.example"),
		differ("ALL", found["ALL"], "bank-a.example bank-b.example"),
		differ("the other domain", found["spiffe://bank-b.example"], "bank-b.example"),
		differ("our domain", found["spiffe://bank-a.example"], "bank-a.example"),
	)
}

func nackIsCounted(ctx context.Context, client secret.SecretDiscoveryServiceClient, b *bank) error {
	stream, err := client.StreamSecrets(ctx)
	if err != nil {
		return err
	}
	before, err := b.output(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&discovery.DiscoveryRequest{ResourceNames: []string{"ALL"}}); err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	refusal := &discovery.DiscoveryRequest{
		ResourceNames: []string{"ALL"}, ResponseNonce: first.GetNonce(),
		ErrorDetail: &rpc.Status{Code: int32(codes.InvalidArgument), Message: "interop refuses this"},
	}
	if err := stream.Send(refusal); err != nil {
		return err
	}
	err = eventually(ctx, func() error {
		after, err := b.output(ctx)
		return errors.Join(err, differ("NACKs", after.Nacks, before.Nacks+1))
	})
	if err != nil {
		return err
	}
	// The next message is the answer to this list, not the refused one again.
	list := &discovery.DiscoveryRequest{ResourceNames: []string{"ROOTCA"}, ResponseNonce: first.GetNonce()}
	if err := stream.Send(list); err != nil {
		return err
	}
	second, err := stream.Recv()
	if err != nil {
		return err
	}
	found, err := named(second.GetResources())
	return errors.Join(err, differ("Secrets", len(found), 1), differ("ROOTCA", found["ROOTCA"], "bank-a.example"))
}

func unknownEnds(ctx context.Context, client secret.SecretDiscoveryServiceClient) error {
	stream, err := client.StreamSecrets(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&discovery.DiscoveryRequest{ResourceNames: []string{"ALL", "spiffe://nowhere.example"}}); err != nil {
		return err
	}
	_, err = stream.Recv()
	return differ("status", grpcstatus.Code(err), codes.InvalidArgument)
}

func unknownIsRemoved(ctx context.Context, client secret.SecretDiscoveryServiceClient) error {
	stream, err := client.DeltaSecrets(ctx)
	if err != nil {
		return err
	}
	names := []string{"spiffe://nowhere.example", "ROOTCA"}
	if err := stream.Send(&discovery.DeltaDiscoveryRequest{ResourceNamesSubscribe: names}); err != nil {
		return err
	}
	response, err := stream.Recv()
	if err != nil {
		return err
	}
	if !slices.Equal(response.GetRemovedResources(), names[:1]) || len(response.GetResources()) != 1 {
		return fmt.Errorf("got %v", response)
	}
	found, err := named([]*anypb.Any{response.GetResources()[0].GetResource()})
	return errors.Join(err, differ("ROOTCA", found["ROOTCA"], "bank-a.example"))
}
