<?php

/**
 * @file
 * Drupal 7 has this file; the sample core offers no remote calls.
 */

http_response_code(404);
header('Content-Type: text/plain; charset=utf-8');
echo "The sample core offers no XML-RPC methods.\n";
