#include "cmocka_all.h"
