// One OpenSearch node for tests, on loopback: java -cp 'jars/*' Boot.java PORT FOLDER
// OS_SET_a__b=v in the environment sets a.b (indexing_pressure.memory.limit and the like).

import static org.codelibs.opensearch.runner.OpenSearchRunner.newConfigs;

import org.codelibs.opensearch.runner.OpenSearchRunner;

public class Boot {
  public static void main(String[] args) throws Exception {
    var runner = new OpenSearchRunner();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      try {
        runner.close();
      } catch (Exception e) {
        System.err.println(e);
      }
    }));
    runner.onBuild((number, settings) -> {
      settings.put("http.port", args[0]).put("network.host", "127.0.0.1").put("discovery.type", "single-node");
      settings.put("transport.port", "0");
      settings.putList("node.roles", "cluster_manager", "data", "ingest");
      // Build machines are often nearly full, which would turn every index read-only.
      settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
      for (var entry : System.getenv().entrySet()) {
        if (entry.getKey().startsWith("OS_SET_")) {
          settings.put(entry.getKey().substring(7).replace("__", "."), entry.getValue());
        }
      }
    }).build(newConfigs().clusterName("millrace-tests").numOfNode(1).basePath(args[1]));
    System.out.println("READY");
    Thread.currentThread().join();
  }
}
