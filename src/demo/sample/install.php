<?php

/**
 * @file
 * A site is never installed by a visitor.
 */

http_response_code(403);
header('Content-Type: text/plain; charset=utf-8');
echo "This site is not installed. Sites are installed with: provision install\n";
