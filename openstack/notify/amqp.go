package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"ferric"
)

// AMQP delivers to RabbitMQ, in oslo.messaging's way: a topic exchange, a queue for each topic and level that is there even if nobody listens yet. A message counts
// as delivered when the broker has confirmed it and a queue has taken it.
type AMQP struct {
	Transport Transport
	TLS       *tls.Config // for encrypted transports
	Exchange  string      // Ironic's control_exchange
	// Topics are the names that messages of a notice's topic are sent to, each with ".<level>" behind it.
	Topics map[string][]string
	// Durable queues, and the messages in them, survive the broker's restart. AutoDelete ones end with their last listener. What exists already is
	// used as it is.
	Durable, AutoDelete bool
	Name                string // of the connection, for the broker's operator
	Log                 *slog.Logger

	raw      net.Conn
	conn     *amqp.Connection
	ch       *amqp.Channel
	returned chan amqp.Return
	declared map[string]bool // routing keys
	next     int             // the host to try first
}

// Deadlines of the broker. Send has one of its own besides.
const (
	dialTimeout   = 5 * time.Second
	amqpHeartbeat = 5 * time.Second
	mostInFlight  = 1000
)

// Send implements Sink.
func (a *AMQP) Send(ctx context.Context, list []ferric.Notice) (sent int, err error) {
	if err := a.open(ctx); err != nil {
		return 0, err
	}
	// A broker that is out of memory takes nothing, and does not say so.
	raw := a.raw
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	defer func() {
		if err != nil {
			err = errors.Join(err, ctx.Err())
			a.drop()
		}
	}()
	type flight struct {
		confirm *amqp.DeferredConfirmation
		notice  int
	}
	var flights []flight
	published := len(list)
publishing:
	for i := range list {
		for _, topic := range a.Topics[list[i].Topic] {
			var c *amqp.DeferredConfirmation
			if c, err = a.publish(ctx, &list[i], topic); err != nil {
				published = i
				break publishing
			}
			flights = append(flights, flight{c, i})
		}
	}
	for _, f := range flights {
		ok, e := f.confirm.WaitContext(ctx)
		if e == nil && !ok {
			e = ferric.Errorf(ferric.CodeUnavailable, "the broker could not keep the message")
		}
		if e != nil {
			return f.notice, errors.Join(e, err)
		}
	}
	if back := a.unroutable(list); back >= 0 {
		return back, ferric.Errorf(ferric.CodeUnavailable, "no queue takes messages of the kind %s; somebody has removed it, and it is made again", list[back].EventType)
	}
	return published, err
}

// unroutable returns the first notice that came back because no queue took it, or -1. Those of confirmed messages have come before the confirmation.
func (a *AMQP) unroutable(list []ferric.Notice) int {
	back := map[string]bool{}
	for {
		select {
		case r, ok := <-a.returned:
			if ok {
				back[r.MessageId] = true
				continue
			}
		default:
		}
		break
	}
	for i := range list {
		if back[list[i].MessageID] {
			return i
		}
	}
	return -1
}

func (a *AMQP) publish(ctx context.Context, n *ferric.Notice, topic string) (*amqp.DeferredConfirmation, error) {
	key := topic + "." + n.Level
	if err := a.declare(key); err != nil {
		return nil, err
	}
	body, err := sealed(n, topic)
	if err != nil {
		return nil, err
	}
	return a.ch.PublishWithDeferredConfirmWithContext(ctx, a.Exchange, key, true, false, amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, MessageId: n.MessageID, Timestamp: n.At, Body: body})
}

// declare makes the exchange and the queue of a routing key, or takes them as they are.
func (a *AMQP) declare(key string) error {
	if a.declared[key] {
		return nil
	}
	err := a.ch.ExchangeDeclare(a.Exchange, amqp.ExchangeTopic, a.Durable, a.AutoDelete, false, false, nil)
	if differs(err) {
		if err = a.channel(); err == nil {
			err = a.ch.ExchangeDeclarePassive(a.Exchange, amqp.ExchangeTopic, a.Durable, a.AutoDelete, false, false, nil)
		}
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "make the exchange %s: %w", a.Exchange, err)
	}
	_, err = a.ch.QueueDeclare(key, a.Durable, a.AutoDelete, false, false, nil)
	if differs(err) {
		if err = a.channel(); err == nil {
			_, err = a.ch.QueueDeclarePassive(key, a.Durable, a.AutoDelete, false, false, nil)
		}
	}
	if err == nil {
		err = a.ch.QueueBind(key, key, a.Exchange, false, nil)
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "make the queue %s: %w", key, err)
	}
	a.declared[key] = true
	return nil
}

// differs reports whether something exists already with other properties.
func differs(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == amqp.PreconditionFailed
}

// open connects to the first host that answers, if there is no connection.
func (a *AMQP) open(ctx context.Context) error {
	if a.ch != nil && !a.ch.IsClosed() && !a.conn.IsClosed() {
		return nil
	}
	a.drop()
	var errs []error
	for i := range a.Transport.Hosts {
		at := (a.next + i) % len(a.Transport.Hosts)
		host := a.Transport.Hosts[at]
		if err := a.dial(ctx, host); err != nil {
			errs = append(errs, ferric.Errorf(ferric.CodeUnavailable, "RabbitMQ at %s: %w", host.Address, err))
			continue
		}
		a.next = at
		return nil
	}
	return errors.Join(errs...)
}

func (a *AMQP) dial(ctx context.Context, host Host) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", host.Address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })() // the greeting has no other deadline
	var wire net.Conn = raw
	if a.Transport.TLS {
		conf := a.TLS.Clone()
		if conf.ServerName == "" {
			conf.ServerName, _, _ = net.SplitHostPort(host.Address)
		}
		secure := tls.Client(raw, conf)
		if err := secure.HandshakeContext(ctx); err != nil {
			return errors.Join(err, raw.Close())
		}
		wire = secure
	}
	props := amqp.NewConnectionProperties()
	props.SetClientConnectionName(a.Name)
	conn, err := amqp.Open(wire, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: host.User, Password: host.Password}},
		Vhost: a.Transport.VHost, Heartbeat: amqpHeartbeat, Properties: props, Locale: "en_US"})
	if err != nil {
		return errors.Join(err, ctx.Err(), ignoreClosed(wire.Close()))
	}
	a.raw, a.conn = raw, conn
	if err := a.channel(); err != nil {
		a.drop()
		return err
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// channel opens a channel that confirms. The one before it was closed by the broker, or there was none.
func (a *AMQP) channel() error {
	ch, err := a.conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	if a.declared == nil {
		a.declared = map[string]bool{}
	}
	a.ch, a.returned = ch, ch.NotifyReturn(make(chan amqp.Return, mostInFlight))
	return nil
}

// drop ends the connection without waiting for the broker.
func (a *AMQP) drop() {
	if a.raw != nil {
		_ = a.raw.Close()
	}
	if a.conn != nil {
		_ = a.conn.Close()
	}
	a.raw, a.conn, a.ch, a.declared = nil, nil, nil, nil
}

// Close implements Sink.
func (a *AMQP) Close() error {
	if a.conn == nil {
		return nil
	}
	err := a.conn.CloseDeadline(time.Now().Add(dialTimeout))
	a.drop()
	if errors.Is(err, amqp.ErrClosed) {
		return nil
	}
	return err
}
