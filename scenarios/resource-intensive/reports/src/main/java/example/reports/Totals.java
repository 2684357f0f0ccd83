package example.reports;

import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import org.apache.commons.csv.CSVFormat;
import org.apache.commons.csv.CSVRecord;

/** Reads "customer,cents" lines and prints the total of each customer. */
public final class Totals {
    private Totals() {}

    public static void main(String[] arguments) throws IOException {
        Map<String, Long> totals = new TreeMap<>();
        try (var lines = new InputStreamReader(System.in, StandardCharsets.UTF_8)) {
            for (CSVRecord line : CSVFormat.DEFAULT.parse(lines)) {
                totals.merge(line.get(0), Long.parseLong(line.get(1)), Long::sum);
            }
        }
        totals.forEach((customer, cents) -> System.out.printf("%s %.2f%n", customer, cents / 100.0));
    }
}
