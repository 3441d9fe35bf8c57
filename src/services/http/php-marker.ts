/** Run by the PHP of a site: since when it runs. Its pool is started anew at each reload. */
export const PHP_MARKER = `<?php
header('Content-Type: application/json');
header('Cache-Control: no-store');
$status = function_exists('fpm_get_status') ? fpm_get_status() : [];
echo json_encode(['started' => $status['start-time'] ?? null, 'accepted' => $status['accepted-conn'] ?? null, 'process' => getmypid()]), "\\n";
`;
