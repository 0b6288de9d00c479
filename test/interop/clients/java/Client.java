// Sends numbered records with the Java clients:
//   Client.java fluency TAG COUNT plain|ack|tls PORT [CA_FILE] | Client.java logger TAG COUNT PORT | Client.java heartbeat PORT
import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManagerFactory;
import org.fluentd.logger.FluentLogger;
import org.komamitsu.fluency.EventTime;
import org.komamitsu.fluency.Fluency;
import org.komamitsu.fluency.fluentd.FluencyBuilderForFluentd;
import org.komamitsu.fluency.fluentd.ingester.sender.heartbeat.Heartbeater;
import org.komamitsu.fluency.fluentd.ingester.sender.heartbeat.UDPHeartbeater;

public class Client {
    static final String TEXT = "héllo 😀";
    static final int WAIT_SECONDS = 120;

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "fluency" -> fluency(args);
            case "logger" -> logger(args[1], Integer.parseInt(args[2]), Integer.parseInt(args[3]));
            case "heartbeat" -> heartbeat(Integer.parseInt(args[1]));
            default -> throw new IllegalArgumentException(args[0]);
        }
        System.exit(0);
    }

    static void fluency(String[] args) throws Exception {
        var builder = new FluencyBuilderForFluentd();
        builder.setAckResponseMode(!args[3].equals("plain"));
        if (args[3].equals("tls")) {
            builder.setSslEnabled(true);
            builder.setSslSocketFactory(trusting(args[5]));
        }
        Fluency fluency = builder.build("127.0.0.1", Integer.parseInt(args[4]));
        int count = Integer.parseInt(args[2]);
        for (int seq = 0; seq < count; seq++) {
            fluency.emit(args[1], EventTime.fromEpochMilli(System.currentTimeMillis()), values(seq));
            // A chunk of its own for each hundred, so that an end of the router in between meets several.
            if (seq % 100 == 99) {
                fluency.flush();
                Thread.sleep(10);
            }
        }
        // close() interrupts a flush that waits for its ack, and drops what is behind it.
        fluency.flush();
        if (!fluency.waitUntilAllBufferFlushed(WAIT_SECONDS)) throw new IllegalStateException("not flushed");
        fluency.close();
    }

    /** Fluency writes what its map holds; the old logger knows fewer types. */
    static Map<String, Object> values(int seq) {
        Map<String, Object> record = new HashMap<>();
        record.put("seq", seq);
        record.put("text", TEXT);
        record.put("real", 1.5);
        record.put("flag", true);
        record.put("none", null);
        record.put("big", Long.MAX_VALUE);
        record.put("bytes", "raw".getBytes());
        record.put("list", List.of(1, "two"));
        record.put("map", Map.of("a", Map.of("b", 2)));
        return record;
    }

    static void logger(String tag, int count, int port) {
        var logger = FluentLogger.getLogger(tag, "127.0.0.1", port);
        for (int seq = 0; seq < count; seq++) {
            Map<String, Object> record = new HashMap<>();
            record.put("seq", seq);
            record.put("text", TEXT);
            record.put("long", "x".repeat(40));
            record.put("real", 1.5);
            record.put("big", Long.MAX_VALUE);
            if (!logger.log("app", record)) throw new IllegalStateException("record " + seq + " was not taken");
        }
        logger.close();
    }

    /** Fluency's datagram without a byte, and the answer that it waits for. */
    static void heartbeat(int port) throws Exception {
        var config = new UDPHeartbeater.Config();
        config.setHost("127.0.0.1");
        config.setPort(port);
        config.setIntervalMillis(100);
        var answered = new CountDownLatch(3);
        try (var heart = new UDPHeartbeater(config)) {
            heart.setCallback(new Heartbeater.Callback() {
                @Override public void onHeartbeat() { answered.countDown(); }
                @Override public void onFailure(Throwable cause) { cause.printStackTrace(); }
            });
            heart.start();
            if (!answered.await(WAIT_SECONDS, TimeUnit.SECONDS)) throw new IllegalStateException("no answer");
        }
    }

    static SSLSocketFactory trusting(String file) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var in = new FileInputStream(file)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        var managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        return context.getSocketFactory();
    }
}
