// Package agent is the program in the deploy ramdisk. As process 1 it mounts the kernel's file systems, loads
// modules, configures all network links, posts inspection data if asked to, looks its node up, and then obeys the
// conductor: it serves the command API of ironic-python-agent and sends heartbeats.
//
// It works with Ferric's conductor and with a stock Ironic.
//
// # Commands
//
//   - standby: prepare_image, cache_image, run_image, power_off, sync, get_partition_uuids
//   - clean, deploy, service: get_…_steps, execute_…_step
//   - image: install_bootloader
//   - poll: get_hardware_info, set_node_info
//   - log: collect_system_logs
//   - system: lockdown
//
// Steps: erase_devices, erase_devices_metadata, erase_devices_express, erase_pstore, clean_uefi_nvram (clean);
// erase_devices_metadata, write_image, clean_uefi_nvram (deploy); write_image (service). Partition images, software RAID,
// burn-in, bootc and rescue are not there.
//
// # Kernel parameters
//
// ipa-api-url (several with commas), ipa-inspection-callback-url, ipa-inspection-collectors, ipa-inspection-dhcp-all-interfaces,
// ipa-inspection-dhcp-wait-timeout, ipa-insecure, ipa-debug, ipa-agent-token, ipa-advertise-host, ipa-listen-port,
// ipa-collect-lldp, ipa-lldp-timeout, ipa-disk-wait-attempts, ipa-disk-wait-delay, ipa-guard-special-filesystems,
// ipa-ignore-bootloader-failure, BOOTIF, and the kernel's ip= for static addresses.
//
// # How it ends
//
// In one way for every cause: the log goes to the consoles, dirty pages to the disks (with a time limit), then the machine
// is rebooted or powered off as told. The agent never gives up by itself: without a conductor it goes on asking.
//
// # Concurrency
//
// An Agent's Run owns all goroutines and returns when they have ended.
package agent
