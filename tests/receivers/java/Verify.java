// Verify SECRET ID TIMESTAMP SIGNATURE < body: ends with 0 if the request is genuine, else 1.
import com.standardwebhooks.Webhook;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

class Verify {
  public static void main(String[] arguments) throws Exception {
    Map<String, List<String>> headers =
        Map.of(
            "webhook-id", List.of(arguments[1]),
            "webhook-timestamp", List.of(arguments[2]),
            "webhook-signature", List.of(arguments[3]));
    String body = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
    new Webhook(arguments[0]).verify(body, headers);
  }
}
