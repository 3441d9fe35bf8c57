<?php

/**
 * Router of PHP's own web server for all sites of a hub, found by the Host name. It refuses what the
 * vhosts of nginx and Apache refuse, and hands the rest to the platform's front controllers.
 *
 * Started by children.ts, which gives in the environment:
 *   PROVISION_SERVE_VHOSTS      directory of the vhost files (see vhost-files.ts)
 *   PROVISION_SERVE_TOKEN       what the front must show: nobody else on the machine may come in
 *   PROVISION_SERVE_GENERATION  generation of the configuration this process was started for
 *
 * Runs on PHP 7.0 and later. All names are in one class: what is included next is somebody's Drupal.
 */
final class ProvisionRouter
{
    const MARKER = '/.well-known/provision';

    /** Never served, in any letter case; the deny map of the nginx vhost with what Drupal's own .htaccess adds to it. */
    const DENIED = [
        '~(?:^|/)\.(?!well-known(?:/|$))~',
        '~(?:\~|\.(?:bak|orig|save|sw[op]|dist|log|old|rej|svn-base)|(?:^|/)#[^/]*#)$~i',
        '~\.(?:engine|inc|info|install|make|module|profile|test|po|mo|sh|sql(?:\.(?:gz|zst|bz2|xz|zip))?|sqlite3?(?:-\w+)?|theme|twig|tpl\.php|xtmpl|ya?ml|phps|phtml|pht|phar|php\d)$~i',
        '~(?:^|/)(?:composer\.(?:json|lock)|package(?:-lock)?\.json|yarn\.lock|phpunit\.xml(?:\.dist)?|web\.config|code-style\.pl)$~i',
        // Version control; by their exact letters: /tag and /template are pages.
        '~(?:^|/)(?:Entries[^/]*|Repository|Root|Tag|Template|CVS|all-wcprops)$~',
        '~^/(?:core/)?(?:CHANGELOG|COPYRIGHT|INSTALL(?:\.\w+)?|LICENSE|MAINTAINERS|UPGRADE|UPDATE|README)\.(?:txt|md)$~i',
        '~^/(?:(?:core/)?(?:vendor|node_modules|scripts)|drush|config|core/tests)/~i',
        '~^/(?:sites/[^/]+/)?(?:private|files/(?:private|config_[^/]+|backup_migrate|php|translations))(?:/|$)~i',
        // With an extension only at the top: /services and /settings are pages.
        '~^/(?:[^/]*\.)?(?:settings|services|drushrc|sites)\.[^/]+$~i',
        '~^/sites/(?:[^/]+/)?[^/]*(?:settings|services|drushrc|sites\.)[^/]*$~i',
    ];

    /** Sent with a long life-time; all else without one. */
    const CACHED = '~\.(?:css|js|mjs|map|jpe?g|gif|png|webp|avif|ico|svgz?|woff2?|ttf|otf|eot|mp[34]|m4[av]|webm|og[gv]|wav|pdf|zip|docx?|xlsx?|pptx?|odt|ods|csv|txt|xml|json)$~i';

    const TYPES = [
        'avif' => 'image/avif', 'bmp' => 'image/bmp', 'css' => 'text/css; charset=utf-8', 'csv' => 'text/csv; charset=utf-8',
        'doc' => 'application/msword', 'docx' => 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
        'eot' => 'application/vnd.ms-fontobject', 'gif' => 'image/gif', 'gz' => 'application/gzip', 'htm' => 'text/html; charset=utf-8',
        'html' => 'text/html; charset=utf-8', 'ico' => 'image/x-icon', 'ics' => 'text/calendar; charset=utf-8', 'jpeg' => 'image/jpeg',
        'jpg' => 'image/jpeg', 'js' => 'text/javascript; charset=utf-8', 'json' => 'application/json', 'm4a' => 'audio/mp4',
        'm4v' => 'video/mp4', 'map' => 'application/json', 'md' => 'text/plain; charset=utf-8', 'mjs' => 'text/javascript; charset=utf-8',
        'mp3' => 'audio/mpeg', 'mp4' => 'video/mp4', 'odp' => 'application/vnd.oasis.opendocument.presentation',
        'ods' => 'application/vnd.oasis.opendocument.spreadsheet', 'odt' => 'application/vnd.oasis.opendocument.text', 'oga' => 'audio/ogg',
        'ogg' => 'audio/ogg', 'ogv' => 'video/ogg', 'otf' => 'font/otf', 'pdf' => 'application/pdf', 'png' => 'image/png',
        'ppt' => 'application/vnd.ms-powerpoint', 'pptx' => 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
        'rss' => 'application/rss+xml', 'svg' => 'image/svg+xml', 'svgz' => 'image/svg+xml', 'tar' => 'application/x-tar',
        'ttf' => 'font/ttf', 'txt' => 'text/plain; charset=utf-8', 'wasm' => 'application/wasm', 'wav' => 'audio/wav',
        'webm' => 'video/webm', 'webmanifest' => 'application/manifest+json', 'webp' => 'image/webp', 'woff' => 'font/woff',
        'woff2' => 'font/woff2', 'xls' => 'application/vnd.ms-excel',
        'xlsx' => 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', 'xml' => 'text/xml; charset=utf-8',
        'zip' => 'application/zip',
    ];

    /** @var string */
    private $vhosts;
    /** @var string Host name asked for: lower case, no port, no trailing dot. */
    private $host = '';
    /** @var string Port as the visitor typed it. */
    private $port = '80';
    /** @var string Path asked for, still encoded, and the query with its `?`. */
    private $path = '/';
    private $query = '';
    /** @var array The vhost, as written by vhost-files.ts. */
    private $vhost = [];
    /** @var string `/foo` of a sub-directory site, else empty. */
    private $prefix = '';
    /** @var string Real path of the docroot. */
    private $docroot = '';

    /** Answers the request and exits, or gives the front controller to include. */
    public static function route(): string
    {
        $router = new self();
        $router->enter();
        $router->findSite();
        return $router->controller();
    }

    /** Only the front comes in; what it says about the visitor is taken over, and nothing of ours is left for the site to see. */
    private function enter()
    {
        $this->vhosts = (string) getenv('PROVISION_SERVE_VHOSTS');
        $token = (string) getenv('PROVISION_SERVE_TOKEN');
        $generation = (string) getenv('PROVISION_SERVE_GENERATION');
        $given = $_SERVER['HTTP_X_PROVISION_TOKEN'] ?? '';
        $client = $_SERVER['HTTP_X_PROVISION_CLIENT'] ?? '';
        $marker = $_SERVER['HTTP_X_PROVISION_MARKER'] ?? null;
        foreach (array_keys($_SERVER) as $name) {
            if (strpos($name, 'HTTP_X_PROVISION_') === 0) {
                unset($_SERVER[$name]);
            }
        }
        // PHP puts the environment back at the end of the request.
        foreach (['VHOSTS', 'TOKEN', 'GENERATION'] as $name) {
            putenv("PROVISION_SERVE_$name");
            unset($_ENV["PROVISION_SERVE_$name"], $_SERVER["PROVISION_SERVE_$name"]);
        }
        if ($token === '' || !hash_equals($token, $given)) {
            $this->refuse(403, 'This is an inner port of provision serve.');
        }
        if ($marker !== null) {
            $this->mark($marker, $generation);
        }
        if ($client !== '') {
            $_SERVER['REMOTE_ADDR'] = $client;
        }
        unset($_SERVER['HTTP_PROXY'], $_SERVER['HTTPS']);

        list($this->path, $this->query) = self::split($_SERVER['REQUEST_URI'] ?? '/');
        if ($this->path === '' || $this->path[0] !== '/') {
            $this->refuse(400, 'Bad request.');
        }
        $host = strtolower($_SERVER['HTTP_HOST'] ?? '');
        if (!preg_match('~^((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.?(?::(\d{1,5}))?$~D', $host, $found) || strlen($found[1]) > 253) {
            $this->refuse(400, 'Bad host name.');
        }
        $this->host = $found[1];
        $this->port = $found[2] ?? '80';
    }

    private static function split(string $uri): array
    {
        $at = strpos($uri, '?');
        return $at === false ? [$uri, ''] : [substr($uri, 0, $at), substr($uri, $at)];
    }

    /** Proof for http.activate: what this process reads in one vhost file, and for which generation it was started. */
    private function mark(string $name, string $generation)
    {
        $content = preg_match('~^[a-z0-9_\~.-]+\.json$~D', $name) && is_file("$this->vhosts/$name") ? file_get_contents("$this->vhosts/$name") : null;
        header('Content-Type: application/json');
        header('Cache-Control: no-store');
        echo json_encode(['generation' => $generation, 'hash' => is_string($content) ? hash('sha256', $content) : null]), "\n";
        exit;
    }

    /** Finds the vhost of host and first path segment; answers for unknown, disabled and redirected ones. */
    private function findSite()
    {
        $of_host = $this->find($this->host);
        $segment = preg_match('~^/([a-z0-9][a-z0-9._-]*)(?:/|$)~', $this->path, $found) ? $found[1] : null;
        $name = $this->host;
        $this->vhost = $of_host;
        if ($segment !== null) {
            $below = [$this->host];
            if ($of_host !== null && strpos($of_host['uri'], '/') === false) {
                $below[] = $of_host['uri'];
            }
            foreach (array_unique($below) as $parent) {
                $vhost = $this->read("$parent.$segment");
                if ($vhost !== null && $vhost['uri'] === "$parent/$segment") {
                    // An alias of the parent that is redirected is redirected with everything below it.
                    if ($of_host !== null && $of_host['enabled'] && $parent !== $this->host) {
                        $this->redirect($of_host, $this->host, $this->path);
                    }
                    $this->vhost = $vhost;
                    $this->prefix = "/$segment";
                    $name = $vhost['uri'];
                    break;
                }
            }
        }
        if ($this->vhost === null) {
            $this->refuse(404, 'No site has this name here.');
        }
        if (!$this->vhost['enabled']) {
            $this->disabled();
        }
        $rest = (string) substr($this->path, strlen($this->prefix));
        $this->redirect($this->vhost, $name, $rest === '' ? '/' : $rest);
        if ($this->prefix !== '' && $rest === '') {
            $this->moved("http://$this->host{$this->portSuffix()}$this->prefix/$this->query");
        }
        $docroot = realpath($this->vhost['docroot']);
        if ($docroot === false || !is_file("$docroot/index.php")) {
            error_log("provision: {$this->vhost['uri']}: there is no index.php in {$this->vhost['docroot']}");
            $this->refuse(500, 'The platform of this site is not there.');
        }
        $this->docroot = $docroot;
    }

    /** By exact name, then by wildcard, label by label; no directory is searched. */
    private function find(string $host)
    {
        for ($name = $host; ; $name = '_.' . $rest) {
            $vhost = $this->read($name);
            if ($vhost !== null && strpos($vhost['uri'], '/') !== false && $name === str_replace('/', '.', $vhost['uri'])) {
                $vhost = null; // example.com.foo as a host name is not example.com/foo
            }
            if ($vhost !== null) {
                return $vhost;
            }
            $rest = isset($rest) ? strstr($rest, '.') : strstr($host, '.');
            if ($rest === false) {
                return null;
            }
            $rest = substr($rest, 1);
        }
    }

    /** The vhost written under a name, an alias followed once; null when there is none. */
    private function read(string $name)
    {
        for ($alias = false; ; $alias = true) {
            // Longer ones are no file names; see vhostFile() in vhost-files.ts.
            $file = strlen($name) > 200 ? substr($name, 0, 150) . '~' . substr(hash('sha256', $name), 0, 16) : $name;
            $text = is_file("$this->vhosts/$file.json") ? file_get_contents("$this->vhosts/$file.json") : false;
            if ($text === false) {
                return null;
            }
            $data = json_decode($text, true);
            if (!is_array($data)) {
                error_log("provision: $this->vhosts/$file.json cannot be read: " . json_last_error_msg());
                $this->refuse(500, 'The configuration of this site cannot be read.');
            }
            if (!isset($data['alias_of'])) {
                return $data;
            }
            if ($alias) {
                return null;
            }
            $name = str_replace('/', '.', $data['alias_of']);
        }
    }

    private function portSuffix(): string
    {
        return $this->port === '80' ? '' : ":$this->port";
    }

    /** To the one name of the vhost, unless that was asked for. `rest` is the path below `name`. */
    private function redirect(array $vhost, string $name, string $rest)
    {
        if (!isset($vhost['redirection']) || $vhost['redirection'] === $name) {
            return;
        }
        list($host, $segment) = explode('/', $vhost['redirection'], 2) + [1 => ''];
        $this->moved("http://$host{$this->portSuffix()}" . ($segment === '' ? '' : "/$segment") . $rest . $this->query);
    }

    /** Serves a file and exits, or gives the PHP file to include. */
    private function controller(): string
    {
        $path = rawurldecode((string) substr($this->path, strlen($this->prefix)));
        // What no name of ours can hold, plainly or encoded twice, is not looked at any further.
        if (preg_match('~[\x00-\x1f\x7f]|%0[0-9a-d]~i', $path)) {
            $this->refuse(400, 'Bad request.');
        }
        if (preg_match('~\\\\|%(?:25)*(?:2e|2f|5c)|(?:^|/)\.{1,2}(?:/|$)~i', $path)) {
            $this->refuse(404, 'Not found.');
        }
        $path = preg_replace('~/{2,}~', '/', $path);
        $site = $this->vhost['directory'];
        if (strncmp($path, '/files/', 7) === 0) {
            $path = "/sites/$site$path";
        }
        foreach (self::DENIED as $pattern) {
            // false, a pattern that gave up, is a refusal too
            if (preg_match($pattern, $path) !== 0) {
                $this->refuse(404, 'Not found.');
            }
        }
        if (preg_match('~^(.*?\.php)(/.*)?$~iD', $path, $found)) {
            return $this->frontController(substr($found[1], 1), $found[2] ?? '');
        }
        if ($path === '/favicon.ico') {
            $this->fromFiles('/favicon.ico') || $this->fromDocroot($path) || $this->nothing();
        }
        if ($path === '/robots.txt') {
            $this->fromFiles('/robots.txt');
        }
        if (preg_match('~^/sites/[^/]+/files(/.*)$~D', $path, $found)) {
            $this->fromFiles($found[1]);
        } elseif (strncmp($path, '/system/files/', 14) !== 0) {
            $this->fromDocroot($path);
        }
        return $this->run('index.php', '');
    }

    /** Only PHP files that the engine names are ever run; install.php is not, whatever it names. */
    private function frontController(string $script, string $path_info): string
    {
        if (!in_array($script, $this->vhost['frontControllers'], true) || preg_match('~(?:^|/)install\.php$~i', $script) || !is_file("$this->docroot/$script")) {
            $this->refuse(404, 'Not found.');
        }
        return $this->run($script, $path_info);
    }

    private function run(string $script, string $path_info): string
    {
        $file = "$this->docroot/$script";
        $_SERVER['DOCUMENT_ROOT'] = $this->docroot;
        $_SERVER['SCRIPT_FILENAME'] = $file;
        $_SERVER['SCRIPT_NAME'] = "$this->prefix/$script";
        $_SERVER['PHP_SELF'] = $_SERVER['SCRIPT_NAME'] . $path_info;
        unset($_SERVER['PATH_INFO'], $_SERVER['PATH_TRANSLATED'], $_SERVER['ORIG_PATH_INFO']);
        if ($path_info !== '') {
            $_SERVER['PATH_INFO'] = $path_info;
        }
        $_SERVER['HTTP_HOST'] = $this->host . $this->portSuffix();
        $_SERVER['SERVER_NAME'] = $this->host;
        $_SERVER['SERVER_PORT'] = $this->port;
        $_SERVER['REQUEST_SCHEME'] = 'http';
        $_SERVER['GATEWAY_INTERFACE'] = 'CGI/1.1';
        $_SERVER['QUERY_STRING'] = (string) substr($this->query, 1);
        // Drupal 7 takes the working directory for its root.
        chdir($this->docroot);
        return $file;
    }

    /** A file of the site's generation; a link that leads out of its directory is not followed. */
    private function fromFiles(string $path): bool
    {
        clearstatcache(true);
        $directory = realpath($this->vhost['files']);
        $file = $directory === false ? false : realpath($directory . $path);
        if ($file === false || strpos($file, "$directory/") !== 0 || !is_file($file)) {
            return false;
        }
        $this->send($file, preg_match('~^/(?:css|js|styles)/~', $path) ? 31536000 : 1209600);
    }

    /** A file of the code; a link out of it is followed to a file of the same owner (Composer's path repositories). */
    private function fromDocroot(string $path): bool
    {
        clearstatcache(true);
        $file = realpath($this->docroot . $path);
        if ($file === false || !is_file($file) || substr($path, -1) === '/') {
            return false;
        }
        if (strpos($file, "$this->docroot/") !== 0 && fileowner($file) !== fileowner($this->docroot)) {
            return false;
        }
        $this->send($file, 1209600);
    }

    private function send(string $file, int $lifetime)
    {
        $method = $_SERVER['REQUEST_METHOD'];
        if ($method !== 'GET' && $method !== 'HEAD') {
            header('Allow: GET, HEAD');
            $this->refuse(405, 'Method not allowed.');
        }
        // Under another name it is still source code.
        $handle = preg_match('~\.php$~i', $file) ? false : @fopen($file, 'rb');
        if ($handle === false) {
            $this->refuse(403, 'Forbidden.');
        }
        $stat = fstat($handle);
        $size = $stat['size'];
        $etag = sprintf('"%x-%x"', $stat['mtime'], $size);
        $extension = strtolower(pathinfo($file, PATHINFO_EXTENSION));
        header('Content-Type: ' . (self::TYPES[$extension] ?? 'application/octet-stream'));
        if ($extension === 'svgz') {
            header('Content-Encoding: gzip');
        }
        header('X-Content-Type-Options: nosniff');
        header('Last-Modified: ' . gmdate('D, d M Y H:i:s', $stat['mtime']) . ' GMT');
        header("ETag: $etag");
        header('Accept-Ranges: bytes');
        if (strncmp($this->host, 'dev.', 4) === 0) {
            header('Cache-Control: no-cache');
        } elseif (preg_match(self::CACHED, $file)) {
            header("Cache-Control: max-age=$lifetime");
        }
        $known = $_SERVER['HTTP_IF_NONE_MATCH'] ?? null;
        $since = $known === null ? strtotime($_SERVER['HTTP_IF_MODIFIED_SINCE'] ?? '') : false;
        if ($known !== null ? (trim($known) === '*' || in_array($etag, array_map(function ($tag) {
            return preg_replace('~^W/~', '', trim($tag));
        }, explode(',', $known)), true)) : ($since !== false && $stat['mtime'] <= $since)) {
            http_response_code(304);
            header_remove('Content-Type');
            exit;
        }
        $from = 0;
        $length = $size;
        $range = $_SERVER['HTTP_RANGE'] ?? '';
        $if_range = $_SERVER['HTTP_IF_RANGE'] ?? $etag;
        if ($method === 'GET' && $if_range === $etag && preg_match('~^bytes=(\d{0,15})-(\d{0,15})$~D', $range, $found) && $found[1] . $found[2] !== '') {
            $from = $found[1] === '' ? max(0, $size - (int) $found[2]) : (int) $found[1];
            $to = $found[1] === '' || $found[2] === '' ? $size - 1 : min((int) $found[2], $size - 1);
            if ($from > $to) {
                header("Content-Range: bytes */$size");
                $this->refuse(416, 'No such range.');
            }
            http_response_code(206);
            header("Content-Range: bytes $from-$to/$size");
            $length = $to - $from + 1;
        }
        header("Content-Length: $length");
        if ($method === 'GET') {
            while (ob_get_level() > 0) {
                ob_end_clean();
            }
            set_time_limit(0);
            fseek($handle, $from);
            for (; $length > 0 && !feof($handle) && !connection_aborted(); $length -= strlen($part)) {
                $part = (string) fread($handle, min(65536, $length));
                echo $part;
            }
        }
        exit;
    }

    private function disabled()
    {
        http_response_code(503);
        header('Retry-After: 3600');
        header('Cache-Control: no-store');
        header('Content-Type: text/html; charset=utf-8');
        echo "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Not available</title></head>\n",
            "<body><h1>This site is not available now</h1>\n<p>Please come back later.</p></body></html>\n";
        exit;
    }

    private function moved(string $to)
    {
        header("Location: $to", true, 301);
        header('Content-Type: text/plain; charset=utf-8');
        echo "Moved to $to\n";
        exit;
    }

    private function nothing()
    {
        http_response_code(204);
        header_remove('Content-Type');
        header('Cache-Control: max-age=1209600');
        exit;
    }

    private function refuse(int $status, string $message)
    {
        http_response_code($status);
        header('Content-Type: text/plain; charset=utf-8');
        header('X-Content-Type-Options: nosniff');
        header('Cache-Control: no-store');
        echo "$message\n";
        exit;
    }
}

// At file scope: Drupal's front controllers expect to run among the globals.
require ProvisionRouter::route();
