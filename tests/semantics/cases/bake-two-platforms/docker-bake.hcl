target "base" { 
  dockerfile = "Dockerfile.base"
  platforms = ["linux/amd64", "linux/386"]
}
target "app" {
  dockerfile = "Dockerfile.app"
  platforms = ["linux/amd64", "linux/386"]
  contexts = { base = "target:base" }
}
