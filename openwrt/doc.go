// Package openwrt holds the packages of OpenWrt: a feed with the box
// (sprechprobe) and its pages in LuCI (luci-app-sprechprobe). It has no Go code
// but the tests, which run what is shipped as a router would.
package openwrt
