package main

import (
	"context"
	"crypto/x509"
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// spireServer is the part of a SPIRE server's admin API that is about bundles, by grpc-go and SPIRE's own SDK. It
// reads certificates and keys with Go's parsers, as SPIRE does, and pages its lists.
type spireServer struct {
	bundlev1.UnimplementedBundleServer
	trustdomainv1.UnimplementedTrustDomainServer
	domain *domain

	mutex     sync.Mutex
	federated map[string]*types.Bundle
}

func startSPIREServer(socket string, domain *domain) (*spireServer, func(), error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, nil, err
	}
	s := &spireServer{domain: domain, federated: map[string]*types.Bundle{}}
	server := grpc.NewServer()
	bundlev1.RegisterBundleServer(server, s)
	trustdomainv1.RegisterTrustDomainServer(server, s)
	go func() { _ = server.Serve(listener) }()
	return s, server.Stop, nil
}

func (s *spireServer) GetBundle(context.Context, *bundlev1.GetBundleRequest) (*types.Bundle, error) {
	bundle := &types.Bundle{TrustDomain: s.domain.name.Name()}
	for _, certificate := range s.domain.bundle.X509Authorities() {
		bundle.X509Authorities = append(bundle.X509Authorities, &types.X509Certificate{Asn1: certificate.Raw})
	}
	for keyID, key := range s.domain.bundle.JWTAuthorities() {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		bundle.JwtAuthorities = append(bundle.JwtAuthorities, &types.JWTKey{KeyId: keyID, PublicKey: der})
	}
	return bundle, nil
}

func (s *spireServer) ListFederationRelationships(
	context.Context, *trustdomainv1.ListFederationRelationshipsRequest,
) (*trustdomainv1.ListFederationRelationshipsResponse, error) {
	return &trustdomainv1.ListFederationRelationshipsResponse{}, nil
}

// ListFederatedBundles has one bundle on a page, whatever is asked for.
func (s *spireServer) ListFederatedBundles(
	_ context.Context, request *bundlev1.ListFederatedBundlesRequest,
) (*bundlev1.ListFederatedBundlesResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.federated)) {
		if name > request.PageToken {
			bundles := []*types.Bundle{s.federated[name]}
			return &bundlev1.ListFederatedBundlesResponse{Bundles: bundles, NextPageToken: name}, nil
		}
	}
	return &bundlev1.ListFederatedBundlesResponse{}, nil
}

func (s *spireServer) BatchCreateFederatedBundle(
	_ context.Context, request *bundlev1.BatchCreateFederatedBundleRequest,
) (*bundlev1.BatchCreateFederatedBundleResponse, error) {
	answer := &bundlev1.BatchCreateFederatedBundleResponse{}
	for _, bundle := range request.Bundle {
		answer.Results = append(answer.Results, &bundlev1.BatchCreateFederatedBundleResponse_Result{
			Status: s.store(bundle, false), Bundle: bundle,
		})
	}
	return answer, nil
}

func (s *spireServer) BatchUpdateFederatedBundle(
	_ context.Context, request *bundlev1.BatchUpdateFederatedBundleRequest,
) (*bundlev1.BatchUpdateFederatedBundleResponse, error) {
	answer := &bundlev1.BatchUpdateFederatedBundleResponse{}
	for _, bundle := range request.Bundle {
		answer.Results = append(answer.Results, &bundlev1.BatchUpdateFederatedBundleResponse_Result{
			Status: s.store(bundle, true), Bundle: bundle,
		})
	}
	return answer, nil
}

func (s *spireServer) store(bundle *types.Bundle, exists bool) *types.Status {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, there := s.federated[bundle.TrustDomain]
	switch _, err := read(bundle); {
	case err != nil:
		return itemStatus(codes.InvalidArgument, err.Error())
	case bundle.TrustDomain == s.domain.name.Name():
		return itemStatus(codes.InvalidArgument, "is the server's own trust domain")
	case there && !exists:
		return itemStatus(codes.AlreadyExists, "bundle already exists")
	case !there && exists:
		return itemStatus(codes.NotFound, "bundle not found")
	}
	s.federated[bundle.TrustDomain] = bundle
	return itemStatus(codes.OK, "")
}

func (s *spireServer) BatchDeleteFederatedBundle(
	_ context.Context, request *bundlev1.BatchDeleteFederatedBundleRequest,
) (*bundlev1.BatchDeleteFederatedBundleResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	answer := &bundlev1.BatchDeleteFederatedBundleResponse{}
	for _, name := range request.TrustDomains {
		result := &bundlev1.BatchDeleteFederatedBundleResponse_Result{Status: itemStatus(codes.OK, ""), TrustDomain: name}
		switch {
		case request.Mode != bundlev1.BatchDeleteFederatedBundleRequest_DISSOCIATE:
			result.Status = itemStatus(codes.FailedPrecondition, "registration entries would go or hold it")
		case s.federated[name] == nil:
			result.Status = itemStatus(codes.NotFound, "bundle not found")
		default:
			delete(s.federated, name)
		}
		answer.Results = append(answer.Results, result)
	}
	return answer, nil
}

// bundle is the federated one of a domain as workloads would get it; nil if there is none.
func (s *spireServer) bundle(td spiffeid.TrustDomain) (*spiffebundle.Bundle, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if stored := s.federated[td.Name()]; stored != nil {
		return read(stored)
	}
	return nil, nil
}

func read(bundle *types.Bundle) (*spiffebundle.Bundle, error) {
	td, err := spiffeid.TrustDomainFromString(bundle.TrustDomain)
	if err != nil {
		return nil, err
	}
	out := spiffebundle.New(td)
	out.SetSequenceNumber(bundle.SequenceNumber)
	for _, one := range bundle.X509Authorities {
		certificate, err := x509.ParseCertificate(one.Asn1)
		if err != nil {
			return nil, err
		}
		out.AddX509Authority(certificate)
	}
	for _, one := range bundle.JwtAuthorities {
		key, err := x509.ParsePKIXPublicKey(one.PublicKey)
		if err != nil {
			return nil, err
		}
		if err := out.AddJWTAuthority(one.KeyId, key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func itemStatus(code codes.Code, message string) *types.Status {
	return &types.Status{Code: int32(code), Message: message}
}
