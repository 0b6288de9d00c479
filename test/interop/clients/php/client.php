<?php
// Writes what PHP's fluent-logger writes, [tag, time, record] as JSON without a separator: client.php ADDRESS TAG COUNT
[, $address, $tag, $count] = $argv;
$socket = stream_socket_client($address, $code, $message, 3);
if ($socket === false) {
    fwrite(STDERR, "$message\n");
    exit(1);
}
for ($seq = 0; $seq < (int) $count; $seq++) {
    $record = ['seq' => $seq, 'text' => "h\u{e9}llo \u{1f600}", 'path' => '/a/b', 'real' => 1.5, 'none' => null, 'list' => [1, 'two']];
    $bytes = json_encode([$tag, time(), $record]);
    while ($bytes !== '') {
        $written = fwrite($socket, $bytes);
        if ($written === false || $written === 0) {
            fwrite(STDERR, "record $seq was not written\n");
            exit(1);
        }
        $bytes = substr($bytes, $written);
    }
}
fclose($socket);
