<?php

/**
 * @file
 * The install profile standard: nothing beyond its .info file.
 */
