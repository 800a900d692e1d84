package main

import (
	"ferric/config"
	"ferric/driver/storage"
	"ferric/openstack"
	"ferric/openstack/cinder"
)

// cinderStorage makes the storage interface cinder.
func cinderStorage(cfg *config.Config, cloud *openstack.Session) *storage.Cinder {
	c := cfg.Cinder
	return &storage.Cinder{Client: &cinder.Client{Session: cloud, Timeout: c.RequestTimeout}, Retries: c.ActionRetries, RetryInterval: c.ActionRetryInterval,
		Outage: c.OutageTimeout}
}
