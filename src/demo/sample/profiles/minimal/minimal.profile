<?php

/**
 * @file
 * The install profile minimal: nothing beyond its .info file.
 */
