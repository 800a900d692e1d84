package agentapi

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"

	"ferric"
)

// pin makes conf trust the certificates in the PEM text and no others. A server that presents one of them
// exactly is trusted whatever its dates and names say, since an agent's clock and address may be anything;
// otherwise they are taken as CAs and verification is the usual one.
func pin(conf *tls.Config, text string) error {
	certs, err := parseCertificates(text)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	conf.InsecureSkipVerify = true // VerifyConnection below does all of it
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		leaf := cs.PeerCertificates[0]
		for _, cert := range certs {
			if bytes.Equal(cert.Raw, leaf.Raw) {
				return nil
			}
		}
		inter := x509.NewCertPool()
		for _, cert := range cs.PeerCertificates[1:] {
			inter.AddCert(cert)
		}
		_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: inter, DNSName: cs.ServerName})
		return err
	}
	return nil
}

func parseCertificates(text string) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "agent_verify_ca: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "agent_verify_ca holds no PEM certificate")
	}
	return certs, nil
}
