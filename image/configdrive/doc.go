// Package configdrive makes, decodes and checks config drives: the small file systems labelled "config-2" by
// which a deployed machine learns its name, keys, network and user data (cloud-init, cloudbase-init, ignition).
//
// On the wire a config drive is what Ironic takes and ironic-python-agent expects: the gzip-compressed image of
// an ISO 9660 file system in base64. [Build] makes the image from the dict form of the API, [Encode] and
// [Decode] convert, [Resolve] also follows a URL, [Check] refuses what no machine could mount. The image is
// made in memory, without temporary files, and the same input gives the same bytes.
//
// The folders are those that Ironic's clients write: openstack/2012-08-10 and openstack/latest, both with
// meta_data.json and, if given, user_data, network_data.json and vendor_data2.json. cloud-init takes the newest
// dated folder that it knows, others take latest.
//
// # Concurrency
//
// All functions may be called by any number of goroutines; a Data belongs to its caller.
package configdrive
