"""Listens to notifications as any OpenStack service does, with oslo.messaging, and writes one JSON object per line.

usage: listen.py TRANSPORT_URL TOPIC
"""
import json
import signal
import sys

from oslo_config import cfg
import oslo_messaging


def tell(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Endpoint:
    def told(self, level):
        def method(context, publisher_id, event_type, payload, metadata):
            tell({"level": level, "publisher_id": publisher_id, "event_type": event_type, "payload": payload,
                  "message_id": metadata["message_id"], "timestamp": metadata["timestamp"]})
            return oslo_messaging.NotificationResult.HANDLED
        return method

    def __init__(self):
        self.info = self.told("info")
        self.error = self.told("error")


conf = cfg.ConfigOpts()
oslo_messaging.set_transport_defaults("ironic")
conf([], project="listen")
transport = oslo_messaging.get_notification_transport(conf, url=sys.argv[1])
conf.set_override("amqp_durable_queues", True, group="oslo_messaging_rabbit")
conf.set_override("kombu_reconnect_delay", 0.2, group="oslo_messaging_rabbit")
listener = oslo_messaging.get_notification_listener(
    transport, [oslo_messaging.Target(topic=sys.argv[2], exchange="ironic")], [Endpoint()], executor="threading")
conf.set_override("executor_thread_pool_size", 1)  # in the order in which they come
listener.start()
signal.pause()
